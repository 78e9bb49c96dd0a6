package essapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	algorithm   = "TC3-HMAC-SHA256"
	secondsADay = 24 * 60 * 60
)

// signable is what of a request enters its signature, besides credential,
// service and time. Values are signed in lower case, as the vendor's rules say.
type signable struct {
	host        string
	contentType string
	action      string // X-TC-Action; empty leaves that header unsigned
	body        []byte
}

// signer signs requests to one service by TC3-HMAC-SHA256. It is a pure function
// of its arguments that remembers the last key it derived: that key depends on
// the credential and the UTC day only, and costs more than the rest together.
// It is safe for concurrent use.
type signer struct {
	service string
	last    atomic.Pointer[dayKey]
}

// authorization gives the Authorization header of r as sent at unix seconds.
func (s *signer) authorization(cred *credential, r signable, unix int64) string {
	k := s.last.Load()
	if k == nil || k.cred != cred || k.day != unix/secondsADay {
		k = newDayKey(cred, s.service, unix)
		s.last.Store(k)
	}
	return k.sign(r, unix)
}

// dayKey is a derived key with what else is the same all day.
type dayKey struct {
	cred  *credential
	day   int64
	scope string
	macs  sync.Pool // of *mac
}

// mac is an HMAC under the day's key, used again and again, with room to write in.
type mac struct {
	hash.Hash
	buf []byte
	sum [sha256.Size]byte
}

func newDayKey(cred *credential, service string, unix int64) *dayKey {
	// The date comes from the timestamp that is sent: a second reading of the
	// clock would differ from it at midnight.
	date := time.Unix(unix, 0).UTC().Format(time.DateOnly)
	key := hmacSHA256([]byte("TC3"+cred.key), date)
	key = hmacSHA256(key, service)
	key = hmacSHA256(key, "tc3_request")
	return &dayKey{
		cred:  cred,
		day:   unix / secondsADay,
		scope: date + "/" + service + "/tc3_request",
		macs:  sync.Pool{New: func() any { return &mac{Hash: hmac.New(sha256.New, key), buf: make([]byte, 0, 512)} }},
	}
}

func hmacSHA256(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

// sign writes the canonical request, the string to sign and the header, one
// after the other, into one buffer.
func (k *dayKey) sign(r signable, unix int64) string {
	m := k.macs.Get().(*mac)
	defer k.macs.Put(m)
	signed := "content-type;host"
	if r.action != "" {
		signed = "content-type;host;x-tc-action"
	}

	b := append(m.buf[:0], "POST\n/\n\ncontent-type:"...)
	b = appendLower(b, r.contentType)
	b = append(b, "\nhost:"...)
	b = appendLower(b, r.host)
	if r.action != "" {
		b = append(b, "\nx-tc-action:"...)
		b = appendLower(b, r.action)
	}
	b = append(b, "\n\n"...)
	b = append(b, signed...)
	b = append(b, '\n')
	m.sum = sha256.Sum256(r.body)
	b = hex.AppendEncode(b, m.sum[:])
	m.sum = sha256.Sum256(b)

	b = append(b[:0], algorithm+"\n"...)
	b = strconv.AppendInt(b, unix, 10)
	b = append(b, '\n')
	b = append(b, k.scope...)
	b = append(b, '\n')
	b = hex.AppendEncode(b, m.sum[:])
	m.Reset()
	m.Write(b)

	b = append(b[:0], algorithm+" Credential="...)
	b = append(b, k.cred.id...)
	b = append(b, '/')
	b = append(b, k.scope...)
	b = append(b, ", SignedHeaders="...)
	b = append(b, signed...)
	b = append(b, ", Signature="...)
	b = hex.AppendEncode(b, m.Sum(m.sum[:0]))
	m.buf = b
	return string(b)
}

// appendLower appends s in lower case. All that is signed is ASCII.
func appendLower(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}
