package dlq

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

const upperHex = "0123456789ABCDEF"

// encode makes any bytes fit for a header: printable ASCII but % stays as it is,
// everything else is percent-encoded. At most limit bytes come out, cut between
// characters.
func encode(s string, limit int) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		_, size := utf8.DecodeRuneInString(s[i:])
		char := s[i : i+size]
		if plain(char, i == 0 || i+size == len(s)) {
			if b.Len()+1 > limit {
				break
			}
			b.WriteString(char)
		} else {
			if b.Len()+3*size > limit {
				break
			}
			for _, c := range []byte(char) {
				b.WriteByte('%')
				b.WriteByte(upperHex[c>>4])
				b.WriteByte(upperHex[c&15])
			}
		}
		i += size
	}
	return strings.TrimRight(b.String(), " ") // one that the cut has left at the end
}

// plain reports whether a character needs no encoding. A space at either end would
// be trimmed on the way.
func plain(char string, edge bool) bool {
	c := char[0]
	return len(char) == 1 && c >= ' ' && c < 0x7f && c != '%' && (c != ' ' || !edge)
}

// Decode undoes the percent-encoding of a header; what was never encoded stays as it is.
func Decode(s string) string {
	if out, err := url.PathUnescape(s); err == nil {
		return out
	}
	return s
}
