package event

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strconv"
	"time"
)

// keyAlphabet is that of base32 in small letters: a key is one subject token, also
// where case is lost.
var keyAlphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Key names an event on subjects, by its source and id: 26 small letters and digits,
// the first half of a SHA-256 of both, the source with its length before it. It is
// fixed for ever: it is how a result is found and a duplicate known.
func Key(source, id string) string {
	text := make([]byte, 0, 256)
	text = binary.BigEndian.AppendUint64(text, uint64(len(source)))
	text = append(text, source...)
	text = append(text, id...)
	sum := sha256.Sum256(text)
	return keyAlphabet.EncodeToString(sum[:16])
}

// KeyOfMessage names a message that has no readable identity, by its sequence number
// in its stream and the time it was stored, which together are never given twice. It
// is one subject token and, for its dash, no key of an event.
func KeyOfMessage(seq uint64, stored time.Time) string {
	return strconv.FormatUint(seq, 10) + "-" + strconv.FormatInt(stored.UnixNano(), 36)
}
