package event_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"essworker/internal/event"
)

// These values are stored in subjects. A change here loses the knowledge of every
// event done before it, and vendor calls are made twice.
func TestKey_neverChanges(t *testing.T) {
	for _, tt := range []struct{ source, id, want string }{
		{"/hr/onboarding", "0198c6c4-7a3e-7d52-9c1f-3f6f0e5b2a10", "xba3v7vd44hcw2oxdhn2mibsra"},
		{"/a", "b", "fh7mxusz3lsiov3bpxt27fxqta"},
		{"/ab", "", "u35ykpaef4ixe53guoshuunxze"},
		{"", "", "v5kxb5nbqefxv54mv5f4octgb4"},
	} {
		if got := event.Key(tt.source, tt.id); got != tt.want {
			t.Errorf("Key(%q, %q) = %s, want %s", tt.source, tt.id, got, tt.want)
		}
	}
	stored := time.Date(2026, 11, 22, 3, 21, 0, 123456789, time.UTC)
	if got, want := event.KeyOfMessage(4711, stored), "4711-dn1ezv5h6239"; got != want {
		t.Errorf("KeyOfMessage(4711, %v) = %s, want %s", stored, got, want)
	}
}

func TestKey_isOneToken(t *testing.T) {
	key, message := regexp.MustCompile(`^[a-z2-7]{26}$`), regexp.MustCompile(`^[0-9]+-[0-9a-z-]+$`)
	for _, s := range []string{"", "a.b", "*", ">", "典", " ", strings.Repeat("x", 5000)} {
		if got := event.Key(s, s); !key.MatchString(got) {
			t.Errorf("Key(%q, %q) = %s, want 26 letters and digits", s, s, got)
		}
	}
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if got := event.KeyOfMessage(1, at); !message.MatchString(got) || key.MatchString(got) {
			t.Errorf("KeyOfMessage(1, %v) = %s, want a token that is no key", at, got)
		}
	}
}

func TestTraceParent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tt := range []struct{ parent, state, wantParent, wantState string }{
		{good, "", good, ""},
		{good, "a=1, b@c=2,,", good, "a=1, b@c=2,,"},
		{"cc" + good[2:] + "-what-comes", "", "cc" + good[2:] + "-what-comes", ""},
		{"", "a=1", "", ""},
		{strings.ToUpper(good), "", "", ""},
		{good + "-more", "", "", ""},
		{good[:54], "", "", ""},
		{"ff" + good[2:], "", "", ""},
		{"00-00000000000000000000000000000000-b7ad6b7169203331-01", "", "", ""},
		{"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "", "", ""},
		{strings.Replace(good, "-", "_", 1), "", "", ""},
		{good, "a", good, ""},
		{good, "=1", good, ""},
		{good, "A=1", good, ""},
		{good, "a=1,a=2", good, ""},
		{good, "a=é", good, ""},
		{good, "a=b=c", good, ""},
		{good, "a=" + strings.Repeat("x", 257), good, ""},
		{good, ",", good, ""},
	} {
		e := event.New(bindType, "/hr", "7", nil)
		e.SetExtension("traceparent", tt.parent)
		e.SetExtension("tracestate", tt.state)
		if parent, state := event.TraceParent(e); parent != tt.wantParent || state != tt.wantState {
			t.Errorf("TraceParent of %q, %q = %q, %q, want %q, %q", tt.parent, tt.state, parent, state, tt.wantParent, tt.wantState)
		}
	}
	if parent, state := event.TraceParent(event.Event{}); parent != "" || state != "" {
		t.Errorf("TraceParent of nothing = %q, %q, want nothing", parent, state)
	}
}

func TestCorrelation(t *testing.T) {
	e := event.New(bindType, "/hr", "7", nil)
	if got := event.Correlation(e); got != "7" {
		t.Errorf("Correlation = %q, want the id, 7", got)
	}
	e.SetExtension("correlationid", 42)
	if got := event.Correlation(e); got != "42" {
		t.Errorf("Correlation = %q, want 42", got)
	}
	if got := event.Correlation(event.Event{}); got != "" {
		t.Errorf("Correlation of nothing = %q, want nothing", got)
	}
}
