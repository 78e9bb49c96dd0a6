package event

import (
	"strings"

	"essworker/internal/mask"
)

// TraceParent is the W3C trace context of an event, from its extensions traceparent
// and tracestate (the CloudEvents extension for distributed tracing): two header
// values of W3C Trace Context. Both are empty if traceparent is absent or malformed;
// a tracestate that is malformed, or holds what is
// shaped like personal data, is left out.
func TraceParent(e Event) (traceparent, tracestate string) {
	traceparent = extension(e, traceParent)
	if !isTraceParent(traceparent) {
		return "", ""
	}
	tracestate = extension(e, traceState)
	if !isTraceState(tracestate) || mask.Text(tracestate) != tracestate { // it goes where a trace goes
		tracestate = ""
	}
	return traceparent, tracestate
}

// isTraceParent reports whether s is version-traceid-parentid-flags, in small
// hexadecimal digits, with ids that are not all zero. A version after 00 may have
// more behind it.
func isTraceParent(s string) bool {
	const size = 55
	if len(s) < size || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	version, trace, span, flags := s[:2], s[3:35], s[36:52], s[53:size]
	switch {
	case !isHex(version) || !isHex(trace) || !isHex(span) || !isHex(flags):
		return false
	case version == "ff" || strings.Trim(trace, "0") == "" || strings.Trim(span, "0") == "":
		return false
	}
	return len(s) == size || version != "00" && s[size] == '-'
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// isTraceState reports whether s is a list of at most 32 members key=value, none
// with a key twice.
func isTraceState(s string) bool {
	if s == "" {
		return false
	}
	keys := map[string]bool{}
	for member := range strings.SplitSeq(s, ",") {
		member = strings.Trim(member, " \t")
		if member == "" {
			continue // the specification allows empty members
		}
		key, value, found := strings.Cut(member, "=")
		if !found || !isStateKey(key) || !isStateValue(value) || keys[key] {
			return false
		}
		keys[key] = true
	}
	return len(keys) > 0 && len(keys) <= 32
}

func isStateKey(s string) bool {
	for i := range len(s) {
		c := s[i]
		first := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !first && (i == 0 || !strings.ContainsRune("_-*/@", rune(c))) {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

func isStateValue(s string) bool {
	return s != "" && len(s) <= 256 && plain(s) && !strings.Contains(s, "=")
}
