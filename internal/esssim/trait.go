package esssim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
)

// stage is where in the gateway a fault acts.
type stage int

const (
	atAuth stage = iota + 1 // before the signature is checked
	atWork                  // behind the rate counter, so that a call refused before does not use it up
)

// effort says whether a call that meets a fault is carried out nevertheless.
type effort int

const (
	never effort = iota
	always
	onCommit // if Fault.Commit
)

// trait is what there is to know about a kind.
type trait struct {
	stage stage
	works effort
	hold  bool                            // without a Delay, wait until the caller has left
	paced bool                            // Delay is spread over the body
	spoil func(*call, Fault, reply) reply // makes the answer, out of the honest one if it works
	check func(Fault) error               // of the fields the kind uses; nil is none
	vary  func(*rand.Rand, *Fault)        // fills the fields for Hostile; nil leaves them empty
}

// traits holds every kind. Hostile has no stage: it turns into another kind.
var traits = map[Kind]trait{
	Latency:      {stage: atWork, works: always, spoil: asIs, check: needsDelay, vary: shortDelay},
	HangBefore:   {stage: atWork, hold: true, spoil: reset, vary: longDelay},
	HangAfter:    {stage: atWork, works: always, hold: true, spoil: reset, vary: longDelay},
	ResetBefore:  {stage: atWork, spoil: reset},
	ResetAfter:   {stage: atWork, works: always, spoil: reset},
	Status:       {stage: atWork, works: onCommit, spoil: badGateway, check: statusIn(400, 599), vary: anyStatus},
	WAF:          {stage: atWork, works: onCommit, spoil: firewall, check: statusIn(400, 599)},
	Redirect:     {stage: atWork, works: onCommit, spoil: redirect, check: statusIn(300, 399)},
	Code:         {stage: atWork, works: onCommit, spoil: errorCode, check: needsCode, vary: anyCode},
	Throttle:     {stage: atWork, works: onCommit, spoil: throttle, check: knownVariant, vary: anyVariant},
	Truncated:    {stage: atWork, works: always, spoil: truncate},
	Null:         {stage: atWork, works: always, spoil: body("null")},
	EmptyObject:  {stage: atWork, works: always, spoil: body("{}")},
	NullResponse: {stage: atWork, works: always, spoil: body(`{"Response":null}`)},
	NotJSON:      {stage: atWork, works: always, spoil: notJSON},
	NoCode:       {stage: atWork, spoil: noCode},
	Hollow:       {stage: atWork, spoil: hollow},
	Wording:      {stage: atWork, works: always, spoil: reword, check: knownWording},
	Gzip:         {stage: atWork, works: always, spoil: compress},
	SlowBody:     {stage: atWork, works: always, paced: true, spoil: trickle, check: needsDelay, vary: shortDelay},
	Clock:        {stage: atAuth, check: needsOffset, vary: anyOffset},
	RotateKey:    {stage: atAuth},
	ExpireToken:  {stage: atAuth},
	Hostile:      {},
}

// Kinds lists every kind but Hostile, sorted by name.
func Kinds() []Kind {
	all := slices.Sorted(maps.Keys(traits))
	return slices.DeleteFunc(all, func(k Kind) bool { return k == Hostile })
}

// The checks.

func needsDelay(f Fault) error {
	if f.Delay == 0 {
		return fmt.Errorf("delay: %s needs one", f.Kind)
	}
	return nil
}

func needsOffset(f Fault) error {
	if f.Offset == 0 {
		return fmt.Errorf("offset: %s needs one", f.Kind)
	}
	return nil
}

func needsCode(f Fault) error {
	if f.Code == "" {
		return errors.New("code: must not be empty")
	}
	return nil
}

func statusIn(low, high int) func(Fault) error {
	return func(f Fault) error {
		if f.Status != 0 && (f.Status < low || f.Status > high) {
			return fmt.Errorf("status: must be %d to %d, got %d", low, high, f.Status)
		}
		return nil
	}
}

func knownVariant(f Fault) error {
	if _, ok := throttleCodes[f.Variant]; !ok {
		return fmt.Errorf("variant: must be one of %q, got %q", throttleVariants(), f.Variant)
	}
	return nil
}

func knownWording(f Fault) error {
	if f.Variant != "" && f.Variant != WordingASCII && f.Variant != WordingCase {
		return fmt.Errorf("variant: must be empty, %s or %s, got %q", WordingASCII, WordingCase, f.Variant)
	}
	return nil
}

// The answers.

func asIs(_ *call, _ Fault, honest reply) reply { return honest }

// reset gives no answer at all.
func reset(_ *call, _ Fault, honest reply) reply { return reply{outcome: honest.outcome} }

func badGateway(_ *call, f Fault, honest reply) reply {
	return page(cmp.Or(f.Status, http.StatusBadGateway), honest.outcome)
}

func firewall(_ *call, f Fault, honest reply) reply {
	return page(cmp.Or(f.Status, http.StatusUnauthorized), honest.outcome)
}

func redirect(_ *call, f Fault, honest reply) reply {
	r := page(cmp.Or(f.Status, http.StatusTemporaryRedirect), honest.outcome)
	r.header.Set("Location", cmp.Or(f.Location, "https://elsewhere.invalid/"))
	return r
}

func errorCode(c *call, f Fault, _ reply) reply {
	return c.refuse(refusal{f.Code, cmp.Or(f.Message, codeTexts[f.Code], "模拟的错误。[sim]")})
}

// throttle refuses for speed with the numbers of the moment, made plausible: the
// count is above the limit, whatever the limit is.
func throttle(c *call, f Fault, _ reply) reply {
	if f.Message != "" {
		return c.refuse(refusal{throttleCodes[f.Variant], f.Message})
	}
	if text := codeTexts[throttleCodes[f.Variant]]; text != "" {
		return c.refuse(refusal{throttleCodes[f.Variant], text})
	}
	limit := cmp.Or(c.limit, 20)
	return c.refuse(refusal{throttleCodes[f.Variant], textTooFast.in(c.language, max(c.count, limit+1), limit)})
}

func truncate(_ *call, _ Fault, honest reply) reply {
	honest.cut = true
	return honest
}

// body answers status 200 with this text.
func body(text string) func(*call, Fault, reply) reply {
	return func(_ *call, _ Fault, honest reply) reply {
		honest.body = []byte(text)
		return honest
	}
}

func notJSON(_ *call, _ Fault, honest reply) reply { return page(http.StatusOK, honest.outcome) }

func noCode(c *call, _ Fault, _ reply) reply { return c.refuse(refusal{"", "操作失败。"}) }

func hollow(c *call, _ Fault, _ reply) reply {
	return c.answer(struct {
		Status    int
		RequestID string `json:"RequestId"`
	}{RequestID: c.requestID})
}

// reword writes the message of a refusal as the vendor has been seen to, or might
// tomorrow. A success stays as it is.
func reword(c *call, f Fault, honest reply) reply {
	if honest.refused.code == "" {
		return honest
	}
	text := honest.refused.message
	if f.Variant != WordingCase {
		text = strings.ReplaceAll(text, "，", ",")
	}
	if f.Variant != WordingASCII {
		text = strings.ToUpper(text)
	}
	return c.refuse(refusal{honest.refused.code, text})
}

func compress(_ *call, _ Fault, honest reply) reply {
	honest.gzip = true
	return honest
}

func trickle(_ *call, f Fault, honest reply) reply {
	honest.over = f.Delay
	return honest
}
