// Package mask hides personal data, in one place: every log line, metric label,
// span, error text, header, audit record and listing that may carry a person's
// data passes its text through here first.
//
// It knows shapes (identity numbers, phone numbers, links) and takes the values
// a caller knows to be personal. It imports the standard library only.
package mask

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// Hidden stands where something personal was.
const Hidden = "***"

// shapes are matched on maximal runs, so that a RequestId of 19 digits or a
// 32-character UserId is left readable while an identity number is not:
// links; 15 to 18 digits with an optional check letter (resident cards, bank cards);
// mainland travel permits; mobile numbers with country code and separators.
var shapes = []*regexp.Regexp{
	regexp.MustCompile(`(?i)\b(?:https?|weixin|wxp)://[^\s"'<>，。；]+`),
	regexp.MustCompile(`(?i)/?pages?/[^\s"'<>，。；]*\?[^\s"'<>，。；]*`),
	regexp.MustCompile(`(?:^|[^0-9])(\d{6}[- ]?\d{8}[- ]?\d{3}[0-9Xx])(?:$|[^0-9])`),
	regexp.MustCompile(`(?:^|[^0-9])(\d{15})(?:$|[^0-9])`),
	regexp.MustCompile(`(?:^|[^0-9A-Za-z])([HMhm]\d{8,10})(?:$|[^0-9])`),
	regexp.MustCompile(`(?:^|[^0-9])((?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4})(?:$|[^0-9])`),
}

// Text gives s with every personal shape and every one of the given values
// replaced by Hidden, the values also where they are written with the escapes of
// JSON or of a URL. Values shorter than two characters are ignored: they would
// blank ordinary words. The result is valid UTF-8 without control characters, so
// it may stand on one line anywhere.
//
// A text that is to be cut is masked first: half a number has no shape.
func Text(s string, personal ...string) string {
	for _, p := range personal {
		if utf8.RuneCountInString(p) >= 2 {
			s = spelled(p).ReplaceAllLiteralString(s, Hidden)
		}
	}
	if plain(s) {
		return s
	}
	return scrub(s)
}

// scrub is the whole of Text but for the given values.
func scrub(s string) string {
	s = strings.Map(printable, strings.ToValidUTF8(s, "\uFFFD"))
	for _, re := range shapes {
		s = hide(re, s)
	}
	return s
}

// Name gives the name of a field, an attribute or a header that comes from
// outside: as it is if it looks like one that a program gave, Hidden if it might
// be anything else.
func Name(s string) string {
	ordinary := s != "" && len(s) <= 40 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
	})
	if !ordinary || Text(s) != s {
		return Hidden
	}
	return s
}

// Cut shortens s to at most n bytes at a character boundary, with an ellipsis.
func Cut(s string, n int) string {
	const ellipsis = "…"
	if len(s) <= n {
		return s
	}
	if n < len(ellipsis) {
		return ""
	}
	n -= len(ellipsis)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + ellipsis
}

// hide replaces the first group of every match, or the whole match where there
// is no group. It restarts behind the hidden part, since two numbers may share
// the one character between them.
func hide(re *regexp.Regexp, s string) string {
	var b strings.Builder
	for {
		m := re.FindStringSubmatchIndex(s)
		if m == nil {
			break
		}
		from, to := m[0], m[1]
		if len(m) > 2 {
			from, to = m[2], m[3]
		}
		b.WriteString(s[:from])
		b.WriteString(Hidden)
		s = s[to:]
	}
	if b.Len() == 0 {
		return s
	}
	b.WriteString(s)
	return b.String()
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == 0x2028 || r == 0x2029 {
		return ' '
	}
	return r
}
