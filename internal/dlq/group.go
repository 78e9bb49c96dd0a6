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
// of message give the same group.
func groupOf(action string, reason fault.Reason, code, message string) string {
	shape := strings.Join(strings.Fields(strings.ToLower(varying.ReplaceAllString(message, "#"))), " ")
	sum := sha256.Sum256([]byte(strings.Join([]string{action, string(reason), code, shape}, "\x00")))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:4]))[:6]
}
