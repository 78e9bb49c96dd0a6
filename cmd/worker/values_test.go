package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestValues(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string // line and value, or what is wrong
	}{
		{"nothing", "", nil},
		{"blank", " \n\r\n\t", nil},
		{"one", `{"a":1}`, []string{`1 {"a":1}`}},
		{"lines", "{\"a\":1}\n{\"b\":2}\n", []string{`1 {"a":1}`, `2 {"b":2}`}},
		{"blank lines", "\n\n1\r\n\n2", []string{"3 1", "5 2"}},
		{"several on a line", "1 2\n3", []string{"1 1", "1 2", "2 3"}},
		{"over lines", "{\n \"a\":\n 1}\n{\"b\":2}", []string{"1 {\n \"a\":\n 1}", `4 {"b":2}`}},
		{"one bad", "1\nbad\n3", []string{"1 1", "2 not JSON", "3 3"}},
		{"bad behind a good one", "1 bad 1\n2", []string{"1 1", "1 not JSON", "2 2"}},
		{"cut off in a string", "{\"a\":\"\n{\"b\":2}", []string{"1 not JSON", `2 {"b":2}`}},
		{"cut off between fields", "{\"a\":1,\n{\"b\":2}", []string{"1 not JSON", `2 {"b":2}`}},
		{"cut off at the end", "1\n{\"a\":", []string{"1 1", "2 not JSON"}},
		{"open array", "[\n{\"b\":2}", []string{"1 not JSON", `2 {"b":2}`}},
		{"bad at the end", "1\nx", []string{"1 1", "2 not JSON"}},
		{"no text", "\x00\xff\n1", []string{"1 not JSON", "2 1"}},
		{
			"long lines", // longer than any buffer on the way
			strings.Repeat("x", 9000) + "\n\"" + strings.Repeat("y", 9000) + "\n[" + strings.Repeat(" ", 9000) + "\n7\nx\n8",
			[]string{"1 not JSON", "2 not JSON", "3 not JSON", "4 7", "5 not JSON", "6 8"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, in := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
				if diff := cmp.Diff(tt.want, all(t, in)); diff != "" {
					t.Errorf("values of %q (-want +got):\n%s", tt.in, diff)
				}
			}
		})
	}
}

func TestValues_readError(t *testing.T) {
	broken := errors.New("broken")
	v := newValues(io.MultiReader(strings.NewReader("1\n2\n"), iotest.ErrReader(broken)))
	for range 2 {
		if _, _, err := v.next(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := v.next(); !errors.Is(err, broken) || errors.Is(err, errNotJSON) {
		t.Errorf("next = %v, want %v", err, broken)
	}
}

// FuzzValues holds values against one fact: an input of lines that are JSON is those
// lines, whatever stands in front of it on lines of its own.
func FuzzValues(f *testing.F) {
	f.Add([]byte("{"))
	f.Add([]byte("\"\n]"))
	f.Fuzz(func(t *testing.T, front []byte) {
		if len(front) > 1000 {
			t.Skip("a page of open brackets is read again for every line of it")
		}
		const last = `{"last":true}`
		got := all(t, bytes.NewReader(append(append(front, "\n]\n"...), last...)))
		want := fmt.Sprintf("%d %s", bytes.Count(front, []byte("\n"))+3, last)
		if len(got) == 0 || got[len(got)-1] != want {
			t.Errorf("the last value behind %q = %q, want %q", front, got, want)
		}
	})
}

func all(t *testing.T, in io.Reader) []string {
	t.Helper()
	var got []string
	v := newValues(in)
	for {
		value, line, err := v.next()
		switch {
		case errors.Is(err, io.EOF):
			return got
		case errors.Is(err, errNotJSON):
			got = append(got, fmt.Sprintf("%d not JSON", line))
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, fmt.Sprintf("%d %s", line, value))
		}
	}
}
