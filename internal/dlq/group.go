package dlq

import (
	"crypto/sha256"
	"encoding/base32"
	"regexp"
	"strings"

	"essworker/internal/fault"
)

// varying is any word with a digit in it: ids, counts, times. Without them, two
// messages about the same cause read alike.
var varying = regexp.MustCompile(`[0-9A-Za-z_-]*[0-9][0-9A-Za-z_-]*`)

// groupOf names a cause in six characters: the same action, reason, code and shape
// of message give the same group. One of them is a letter, so that a group is never
// taken for the number of a letter.
func groupOf(action string, reason fault.Reason, code, message string) string {
	shape := strings.Join(strings.Fields(strings.ToLower(varying.ReplaceAllString(message, "#"))), " ")
	sum := sha256.Sum256([]byte(strings.Join([]string{action, string(reason), code, shape}, "\x00")))
	id := []byte(strings.ToLower(base32.StdEncoding.EncodeToString(sum[:4]))[:6])
	if allDigits(string(id)) {
		id[0] += 'a' - '2'
	}
	return string(id)
}

var groupPattern = regexp.MustCompile(`^[a-z2-7]{6}$`)

// IsGroup reports whether a word is the id of a group, and not that of a letter: of a
// group of digits only, which an older version may have made, --group knows.
func IsGroup(word string) bool { return groupPattern.MatchString(word) && !allDigits(word) }

func allDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }
