package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// values reads JSON values one behind the other, over lines as they please, and knows
// on which line each begins. What is not JSON costs its own line: reading goes on
// with the next.
type values struct {
	lines *lineReader
	dec   *json.Decoder
	start int64 // of what dec reads, in the input
}

func newValues(in io.Reader) *values {
	lines := &lineReader{in: bufio.NewReader(in)}
	return &values{lines: lines, dec: json.NewDecoder(lines)}
}

// errNotJSON is the only error of next after which reading goes on.
var errNotJSON = errors.New("not JSON")

// next gives a value and the line it begins on, counted from 1. The error is io.EOF
// at the end; any other than errNotJSON is the reader's.
func (v *values) next() (value json.RawMessage, line int, err error) {
	err = v.dec.Decode(&value)
	end := v.start + v.dec.InputOffset()
	if err == nil {
		return value, v.lines.lineOf(end - int64(len(value))), nil
	}
	if _, malformed := errors.AsType[*json.SyntaxError](err); !malformed && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, 0, err
	}
	v.lines.giveBack(v.dec.Buffered())
	begin := end + v.lines.skip(isSpace)
	line = v.lines.lineOf(begin)
	v.start = begin + v.lines.skip(func(c byte) bool { return c != '\n' })
	v.dec = json.NewDecoder(v.lines)
	return nil, line, fmt.Errorf("%w: %w", errNotJSON, err)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// lineReader gives no more than a line at a time, so that little has to be given back,
// and remembers where lines end, as far as it was not asked for yet.
type lineReader struct {
	in     *bufio.Reader
	back   []byte // to be read again, before in
	read   int64  // from in
	ends   []int64
	passed int // ends that were dropped
}

// Read implements io.Reader.
func (l *lineReader) Read(p []byte) (n int, err error) {
	if len(l.back) > 0 {
		n = copy(p, l.back[:lineLen(l.back)])
		l.back = l.back[n:]
		return n, nil
	}
	if _, err := l.in.Peek(1); err != nil {
		return 0, err
	}
	ready, _ := l.in.Peek(l.in.Buffered()) // what is there already cannot fail
	n = copy(p, ready[:lineLen(ready)])
	_, _ = l.in.Discard(n)
	l.read += int64(n)
	if p[n-1] == '\n' {
		l.ends = append(l.ends, l.read-1)
	}
	return n, nil
}

// lineLen is how much of b belongs to its first line, the end of it included.
func lineLen(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

// giveBack makes Read give b again.
func (l *lineReader) giveBack(b io.Reader) {
	text, _ := io.ReadAll(b) // of memory
	l.back = append(text, l.back...)
}

// skip passes over bytes and counts them.
func (l *lineReader) skip(over func(byte) bool) (n int64) {
	var c [1]byte
	for {
		if _, err := l.Read(c[:]); err != nil {
			return n // it comes again when the decoder reads
		}
		if !over(c[0]) {
			l.back = append(c[:], l.back...)
			return n
		}
		n++
	}
}

// lineOf gives the line of a place in the input, which is never before an earlier one.
func (l *lineReader) lineOf(place int64) int {
	n, _ := slices.BinarySearch(l.ends, place)
	l.ends = l.ends[n:]
	l.passed += n
	return l.passed + 1
}
