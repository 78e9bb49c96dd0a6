package essapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"essworker/internal/mask"
)

const (
	// maxAnswer bounds what is read of one answer, after decompression. The
	// largest part of a real one is the QR code of a link.
	maxAnswer = 2 << 20
	// maxKept is the largest buffer kept for the next answer.
	maxKept = 256 << 10
	// maxVendorText is the longest vendor message that is looked at. Longer ones are
	// left out whole: cut first, half an identity number would escape the mask.
	maxVendorText = 8 << 10
	// maxMessage bounds the message of a fault, which ends up in a header.
	maxMessage = 1 << 10
	// maxWord bounds a code and a RequestId.
	maxWord = 100
	// minRepeated is the shortest of a person's words that is looked for in codes and
	// ids: shorter ones are in many by chance.
	minRepeated = 4
)

// envelope is what every processed answer looks like. Decoding fills the answer
// it was made with; a null leaves that one empty, hence incomplete.
type envelope struct {
	Response answer `json:"Response"`
}

// answer is what an action's answer must hold, for it to be a success.
type answer interface {
	common() *head
	// missing gives the code of a success that lacks its required output, "" for a complete one.
	missing() string
}

// head is what answers have in common.
type head struct {
	Error     failure `json:"Error"`
	RequestID string  `json:"RequestId"`
}

func (h *head) common() *head { return h }

// failure is the vendor's Error. Its presence alone makes a failure, whatever is
// in it, and it stays: encoding/json lets a second member of the name, or one in
// other letters, undo the first.
type failure struct {
	there         bool
	code, message string
}

// UnmarshalJSON takes anything but null for a failure.
func (f *failure) UnmarshalJSON(b []byte) error {
	if f.there || string(b) == "null" {
		return nil
	}
	f.there = true
	var members struct {
		Code    any `json:"Code"`
		Message any `json:"Message"`
	}
	if json.Unmarshal(b, &members) == nil { // anything but an object is an Error without a code
		f.code, _ = members.Code.(string)
		f.message, _ = members.Message.(string)
	}
	return nil
}

var (
	errNotJSON  = errors.New("not JSON of the expected shape")
	errTooLarge = errors.New("longer than 2 MiB")
)

// readAnswer fills out from an answer's body. Its error is errNotJSON, errTooLarge,
// or that of reading: never one that quotes the body.
func (c *Client) readAnswer(body io.Reader, out answer) error {
	buf, ok := c.buffers.Get().(*bytes.Buffer)
	if !ok {
		buf = new(bytes.Buffer)
	}
	defer func() {
		if buf.Cap() <= maxKept {
			buf.Reset()
			c.buffers.Put(buf)
		}
	}()
	n, err := buf.ReadFrom(io.LimitReader(body, maxAnswer+1))
	switch {
	case err != nil:
		return err
	case n > maxAnswer:
		return errTooLarge
	}
	// A wrong type beside an Error does not hide the Error.
	if json.Unmarshal(buf.Bytes(), &envelope{out}) != nil && !out.common().Error.there {
		return errNotJSON
	}
	return nil
}

// vendorCode gives a code fit for a header, a label or a text, and "" for one that
// is no code at all: a letter first, then letters, dots and the like, and fewer
// digits than any number that is a person's.
func vendorCode(code string) string {
	digits := 0
	for i := range len(code) {
		if '0' <= code[i] && code[i] <= '9' {
			digits++
		}
	}
	if code == "" || !isLetter(code[0]) || digits > 7 || word(code) != code {
		return ""
	}
	return code
}

// shownCode gives a code as it may be shown: without the parts, from the first one
// on, that repeat a person's data. A code of the table's needs no look.
func shownCode(code string, personal []string) string {
	for _, p := range personal {
		if p = strings.ToLower(word(p)); len(p) < minRepeated {
			continue
		}
		for strings.Contains(strings.ToLower(code), p) {
			code = code[:max(0, strings.LastIndexByte(code, '.'))]
		}
	}
	return cmp.Or(code, codeNoCode)
}

// vendorText gives the vendor's message as it may be shown.
func vendorText(message string, personal []string) string {
	if len(message) > maxVendorText {
		return "(a text of over 8 KiB, left out)"
	}
	return mask.Text(message, personal...)
}

// requestID gives the vendor's RequestId as it may be shown. Shapes are not
// masked in it, since real ones are made of digits; personal values are.
func requestID(id string, personal []string) string {
	id = word(id)
	for _, p := range personal {
		if p = word(p); len(p) >= minRepeated {
			id = strings.ReplaceAll(id, p, "-")
		}
	}
	return id
}

// word leaves of s what a code or an id is made of, up to maxWord of it.
func word(s string) string {
	odd := func(c byte) bool { return !isLetter(c) && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' }
	clean := len(s) <= maxWord
	for i := 0; clean && i < len(s); i++ {
		clean = !odd(s[i])
	}
	if clean {
		return s
	}
	b := make([]byte, 0, maxWord)
	for i := 0; i < len(s) && len(b) < maxWord; i++ {
		if !odd(s[i]) {
			b = append(b, s[i])
		}
	}
	return string(b)
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
