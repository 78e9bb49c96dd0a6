package main

import (
	"strings"
	"testing"
)

// A personal text is found however JSON writes it, and the rest stays as it is said.
func TestMaskedJSON(t *testing.T) {
	personal := []string{"典子谦", `O"Hara\`, "37000019890303000X", "42"}
	for _, data := range []string{
		`{"name":"典子谦","scene":"OTHER"}`,
		`{"name":"\u5178\u5b50\u8c26","scene":"OTHER"}`,
		`{"name":"O\"Hara\\","scene":"OTHER"}`,
		`{"name":"3700001989030300\u0030X","scene":"OTHER"}`,
		`{"name":42,"scene":"OTHER"}`,
		`{"\u5178\u5b50\u8c26":1,"scene":"OTHER"}`,
	} {
		got := maskedJSON([]byte(data), personal)
		for _, secret := range []string{"典", `\u5178`, "Hara", "370000", "42"} {
			if strings.Contains(got, secret) {
				t.Errorf("maskedJSON(%s) = %s, which tells %s", data, got, secret)
			}
		}
		if !strings.Contains(got, `"scene":"OTHER"`) {
			t.Errorf("maskedJSON(%s) = %s, want the rest as it was", data, got)
		}
	}
	if got, want := maskedJSON([]byte(`{"a":"<b>&"}`), nil), `{"a":"<b>&"}`; got != want {
		t.Errorf("maskedJSON = %s, want %s", got, want)
	}
}
