package mask

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// wordLength is from how many characters on a value is looked for in any letter
// case. A shorter one, the name Li say, would be found in every other word.
const wordLength = 4

// spelled finds a value as it is, and with any of its characters written as JSON
// does (\u5178, also where the text has been encoded more than once) or as a URL
// does (%E5%85%B8, a space as +). Whoever repeats what he was sent repeats it in
// his own way.
func spelled(value string) *regexp.Regexp {
	var b strings.Builder
	fold := "(?i:%s)"
	if utf8.RuneCountInString(value) < wordLength {
		fold = "%s"
	}
	for _, r := range strings.ToValidUTF8(value, "\uFFFD") {
		b.WriteString("(?:")
		fmt.Fprintf(&b, fold, regexp.QuoteMeta(string(r)))
		b.WriteString("|(?i:")
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\\+u%04x`, unit)
		}
		b.WriteString("|")
		for _, c := range []byte(string(r)) {
			fmt.Fprintf(&b, "%%%02x", c)
		}
		if r == ' ' {
			b.WriteString(`|\+`)
		}
		b.WriteString("))")
	}
	return regexp.MustCompile(b.String()) // of quoted characters only
}
