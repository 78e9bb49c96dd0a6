package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"net/textproto"
	"strings"
)

// quick reads the head of an answer that is as answers mostly are: status 200, a body
// of a given length, nothing about the connection, all of it in the buffer already. It is a
// few times faster than [http.ReadResponse] and gives the same, but for the body; of
// any other answer it reads nothing and leaves it to that.
func quick(in *bufio.Reader, req *http.Request) *http.Response {
	if _, err := in.Peek(1); err != nil { // waits for the answer
		return nil
	}
	const status = "HTTP/1.1 200 "
	buffered, _ := in.Peek(in.Buffered())
	end := bytes.Index(buffered, []byte("\r\n\r\n"))
	if end < 0 || !bytes.HasPrefix(buffered, []byte(status)) {
		return nil
	}
	text := string(buffered[:end])
	first, lines, _ := strings.Cut(text, "\r\n")
	header, length := fields(lines)
	if length <= 0 || !visible(first) || strings.HasSuffix(first, " ") || first[len(status)] == ' ' {
		return nil
	}
	_, _ = in.Discard(end + len("\r\n\r\n"))
	return &http.Response{
		Status: first[len("HTTP/1.1 "):], StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, ContentLength: length, Request: req,
	}
}

// fields gives the header in the lines of a head and the length of the body that
// follows, 0 if it is for others to read.
func fields(lines string) (header http.Header, length int64) {
	n := strings.Count(lines, "\r\n") + 1
	header, values := make(http.Header, n), make([]string, 0, n)
	for line := range strings.SplitSeq(lines, "\r\n") {
		name, value, found := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !found || !isToken(name) || !visible(value) {
			return nil, 0
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case header[name] != nil:
			return nil, 0 // more than once
		case name == "Content-Length":
			if length = digits(value); length == 0 {
				return nil, 0
			}
		case name == "Connection" && !strings.EqualFold(value, "keep-alive"), name == "Transfer-Encoding", name == "Trailer", name == "Pragma":
			return nil, 0
		}
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return header, length
}

// digits reads a number above 0; 0 is anything else, and one of more than fifteen digits.
func digits(s string) (n int64) {
	if len(s) > 15 {
		return 0
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n
}

// visible reports whether s is ASCII without control characters.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
