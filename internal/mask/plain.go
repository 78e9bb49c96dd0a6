package mask

// The shortest numbers among the shapes: a travel permit's, which follows a
// letter, and a mobile number. A test holds plain to the shapes.
const (
	permitDigits = 8
	mobileDigits = 11
)

// plain reports, in one pass and without a regular expression, that scrub would
// leave s as it is. Nearly all of what a log line holds is plain; a false no
// costs only time.
func plain(s string) bool {
	digits := 0       // in a row, with at most one separator between two of them
	permit := false   // the row follows the letter of a travel permit
	before := byte(0) // the byte before c
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z':
			digits = 0
		case '0' <= c && c <= '9':
			if digits == 0 {
				permit = before|0x20 == 'h' || before|0x20 == 'm'
			}
			digits++
			if digits >= mobileDigits || permit && digits >= permitDigits {
				return false
			}
		case c == '?' || c < ' ' || c >= 0x7f:
			return false // a query, a control character, or not ASCII
		case c == '/' && before == '/' && i > 1 && s[i-2] == ':':
			return false // a link
		case (c == '-' || c == ' ') && '0' <= before && before <= '9':
			// the number may go on behind it
		default:
			digits = 0
		}
		before = c
	}
	return true
}
