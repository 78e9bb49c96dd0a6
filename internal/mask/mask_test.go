package mask_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"essworker/internal/mask"
)

func TestText(t *testing.T) {
	for _, tt := range []struct {
		in       string
		personal []string
		want     string
	}{
		{"nothing personal here", nil, "nothing personal here"},
		{"证件号：620000198802020000，手机号：13800138000", nil, "证件号：***，手机号：***"},
		{"37000019890303000X", nil, "***"},
		{"37000019890303000x", nil, "***"},
		{"permit H1234567890 or m12345678", nil, "permit *** or ***"},
		{"call +86 138-0013-8000 or 8613800138000", nil, "call *** or ***"},
		{"13800138000,13900139000", nil, "***,***"},
		{"request s1615674603446404796", nil, "request s1615674603446404796"},
		{"request fc0b0a6b-01b4-4042-b236-c5356af1d5d8", nil, "request fc0b0a6b-01b4-4042-b236-c5356af1d5d8"},
		{"user yDRS4UUgygqdcj56UuO4zjExBQcOiB68", nil, "user yDRS4UUgygqdcj56UuO4zjExBQcOiB68"},
		{"open https://essurl.cn/001uSHUNDy now", nil, "open *** now"},
		{"HTTPS://ESSURL.CN?token=1", nil, "***"},
		{"source http://hr.example.com/x then", nil, "source *** then"},
		{"path pages/guide/index?to=X&token=1 end", nil, "path *** end"},
		{"姓名典子谦不符", []string{"典子谦"}, "姓名***不符"},
		{`body {"Name":"\u5178\u5b50\u8C26"} refused`, []string{"典子谦"}, `body {"Name":"***"} refused`},
		{`body {\"Name\":\"\\u5178\\U5B50谦\"}`, []string{"典子谦"}, `body {\"Name\":\"***\"}`},
		{"q=%E5%85%B8%e5%ad%90%E8%B0%A6&x", []string{"典子谦"}, "q=***&x"},
		{"MARY ANN, mary+ann, Mary%20Ann", []string{"Mary Ann"}, "***, ***, ***"},
		{"a limit for Li", []string{"Li"}, "a limit for ***"}, // short: in this letter case only
		{"(a+b)*", []string{"(a+b)"}, "****"},
		{"a b c", []string{"a"}, "a b c"}, // one letter would blank ordinary words
		{"two\r\nlines\x00and\u2028more", nil, "two  lines and more"},
		{"broken \xff text", nil, "broken \uFFFD text"},
	} {
		if got := mask.Text(tt.in, tt.personal...); got != tt.want {
			t.Errorf("Text(%q, %q) = %q, want %q", tt.in, tt.personal, got, tt.want)
		}
	}
}

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"operatorUserId": "operatorUserId", "userInfo.name": "userInfo.name", "x-request_id2": "x-request_id2",
		"": mask.Hidden, "典子谦": mask.Hidden, "two words": mask.Hidden, "x-13800138000": mask.Hidden, strings.Repeat("a", 41): mask.Hidden,
	} {
		if got := mask.Name(in); got != want {
			t.Errorf("Name(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"short", 10, "short"},
		{"exactly", 7, "exactly"},
		{"a longer text", 8, "a lon…"},
		{"典子谦典子谦", 10, "典子…"},
		{"anything", 2, ""},
	} {
		got := mask.Cut(tt.in, tt.n)
		if got != tt.want || len(got) > tt.n || !utf8.ValidString(got) {
			t.Errorf("Cut(%q, %d) = %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

func TestSecret_cannotBePrinted(t *testing.T) {
	const value = "the key itself"
	s := mask.Secret(value)
	b, err := json.Marshal(map[string]mask.Secret{"k": s})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "k", s)
	for _, out := range []string{s.String(), fmt.Sprintf("%v %s %+v %#v %q", s, s, s, s, s), string(b), log.String()} {
		if strings.Contains(out, value) || !strings.Contains(out, mask.Hidden) {
			t.Errorf("a secret prints as %q", out)
		}
	}
	if s.Reveal() != value {
		t.Errorf("Reveal() = %q, want the value", s.Reveal())
	}
	if got := mask.Secret("").String(); got != "" {
		t.Errorf("an empty secret prints as %q, want nothing", got)
	}
}
