package mask

import "testing"

// FuzzPlain holds the fast path to the slow one: what plain lets pass, scrub
// would not have touched.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{
		"", "event done", "employee.onboarded", "0190b3c2-7d4e-7c1a-8f3e-5b1d2c3a4e5f", "典子谦",
		"620000198802020000", "620000 19880202 000x", "110101900101123", "H12345678", "m1234567890",
		"0h1234567", "H1-2345678", "5 13812345678", "+86-138-1234-5678", "86 138 1234 5678", "1381234567", "13812345678", "a13812345678b",
		"https://example.com", "weixin://dl/x", "WXP://f2f0", "pages/x?a=b", "/page/y?", "tab\tline\n", "\xff", "\u0085",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := scrub(s); plain(s) && got != s {
			t.Errorf("plain(%q) = true, but scrub gives %q", s, got)
		}
	})
}

func TestPlain_whatLogLinesHold(t *testing.T) {
	for _, s := range []string{
		"", "event done", "employee.onboarded", "ess.events.employee.onboarded", "yDRS4UUgygqdcj56UuO4zjExBQcOiB68",
		"FailedOperation: no such seal", "0190b3c2-7d4e-7c1a-8f3e-5b1d2c3a4e5f", "host-1/4711", "127.0.0.1:8080",
	} {
		if !plain(s) {
			t.Errorf("plain(%q) = false, want true", s)
		}
	}
}

func BenchmarkText(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Text("0190b3c2-7d4e-7c1a-8f3e-5b1d2c3a4e5f")
	}
}
