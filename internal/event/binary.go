package event

import (
	"strings"

	"github.com/nats-io/nats.go"
)

// readHeaders gathers the ce-* headers, in any letter case, and the content type,
// which is none of them. NATS keeps the case of a name, so ce-id and Ce-Id are two
// headers to it and one attribute to us.
func readHeaders(h nats.Header) (a attributes, contentType attribute) {
	for name, values := range h {
		switch {
		case len(values) == 0:
		case len(name) > 3 && (name[0]|0x20) == 'c' && (name[1]|0x20) == 'e' && name[2] == '-':
			attr := strings.ToLower(name[3:])
			value, problem := decode(values[0])
			a.put(attr, value, problem)
			if len(values) > 1 {
				a.again(attr)
			}
		case strings.EqualFold(name, contentTypeHeader):
			if contentType.there || len(values) > 1 {
				contentType.problem = "is there more than once"
			}
			contentType.text, contentType.there = strings.TrimSpace(values[0]), true
		}
	}
	return a, contentType
}

// decode reads a header's value as the binding says: white space around it is not
// part of it, a value in double quotes is unquoted, and then percent-encoding is
// undone, once. Where that cannot be meant the value is taken as it is: quotes that
// do not enclose the whole value, a % that two hexadecimal digits do not follow.
func decode(raw string) (value, problem string) {
	s := strings.Trim(raw, " \t")
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = unquote(s)
	}
	if strings.Contains(s, "%") {
		s = unescape(s)
	}
	if problem = textProblem(s); problem != "" {
		return "", problem
	}
	return s, ""
}

// unquote reads a quoted-string of RFC 7230, section 3.2.6.
func unquote(s string) string {
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		switch s[i] {
		case '"':
			return s // the quotes enclose less than all
		case '\\':
			i++
			if i == len(s)-1 {
				return s // the last quote is itself quoted
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, low := unhex(s[i+1]), unhex(s[i+2])
			if high < 16 && low < 16 {
				b = append(b, high<<4|low)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// unhex gives the value of a hexadecimal digit, or 16.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return (c | 0x20) - 'a' + 10
	}
	return 16
}

// mediaType is a content type without its parameters, in lower case.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// isJSON reports whether a content type says that the data is JSON; an absent one
// does.
func isJSON(contentType string) bool {
	if contentType == "" || contentType == jsonType {
		return true
	}
	kind, sub, found := strings.Cut(mediaType(contentType), "/")
	return found && kind != "" && plain(contentType) && (sub == "json" || strings.HasSuffix(sub, "+json"))
}
