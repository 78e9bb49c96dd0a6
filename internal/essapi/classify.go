package essapi

import (
	"slices"
	"strings"
	"unicode"
)

// verdict is what code and text of a failure come to.
type verdict struct {
	class
	done      bool // already as wanted: a success
	unlisted  bool // no row names the code itself
	unmatched bool // the code needs a text, and none of the known ones was there
}

// classify finds the row of a code and the rule of its text.
func classify(action, code, message string) verdict {
	r, listed := find(code)
	v := verdict{class: r.class, unlisted: !listed}
	text := ""
	for _, rule := range rules {
		if (rule.action != "" && rule.action != action) || !match(rule.code, r.code) {
			continue
		}
		if text == "" {
			text = normalise(message)
		}
		if rule.holds(action, text) {
			v.class, v.done, v.unmatched = rule.class, rule.done, false
			return v
		}
		v.unmatched = v.unmatched || rule.telling
	}
	return v
}

// find gives the row of a code: its own, else that of the longest code it
// extends. Where there is none, the code decides nothing.
func find(code string) (r row, listed bool) {
	for c := code; ; {
		if i := slices.IndexFunc(codes, func(r row) bool { return match(r.code, c) }); i >= 0 {
			return codes[i], c == code
		}
		dot := strings.LastIndexByte(c, '.')
		if dot < 0 {
			return row{class: ambiguous}, false
		}
		c = c[:dot]
	}
}

// match reports whether a table's code stands for the given one.
func match(pattern, code string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(code, prefix)
	}
	return pattern == code
}

func (r rule) holds(action, text string) bool {
	for _, t := range r.texts {
		if t == "{action}" {
			t = strings.ToLower(action)
		}
		if strings.Contains(text, t) {
			return true
		}
	}
	return len(r.texts) == 0
}

// normalise leaves letters and digits, in lower case: the vendor's texts wobble
// in letter case and between full-width and ASCII punctuation.
func normalise(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// Mend gives one sentence on what an operator can do about a failure of this
// action with this code, the vendor's or one of the worker's own. It is empty for a
// code that nothing is known about.
func Mend(action, code string) string {
	for _, m := range mends {
		if (m.action == "" || m.action == action) && m.code == code {
			return m.mend
		}
	}
	r, _ := find(code)
	return r.mend
}

// Unseen reports whether a code means that nobody has seen what the vendor made of the
// call: it may have been carried out. All codes that say so are of our own making.
func Unseen(code string) bool {
	switch code {
	case codeTimeout, codeBroken, codeNotJSON, codeTooLarge:
		return true
	}
	return strings.HasPrefix(code, "HTTP5") // of something in front of the vendor's service
}
