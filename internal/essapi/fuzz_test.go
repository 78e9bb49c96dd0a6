package essapi_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"essworker/internal/fault"
)

// FuzzAnswer answers each call with anything. Whatever it is: no panic; no
// success without what the action must give; an error that is classified, of
// bounded, printable text, with nothing in it that an answer of no sense said.
func FuzzAnswer(f *testing.F) {
	for i, action := range []string{bind, grant, link} {
		f.Add(uint8(i), uint16(200), []byte(successes[action]))
		for _, tt := range hostile {
			if len(tt.body) < 1<<10 {
				f.Add(uint8(i), uint16(200), []byte(tt.body))
			}
		}
		for _, m := range wantMessages {
			body, _ := json.Marshal(map[string]any{"Response": map[string]any{"Error": map[string]string{"Code": m.code, "Message": m.message}, "RequestId": "r1"}})
			f.Add(uint8(i), uint16(200), body)
		}
		f.Add(uint8(i), uint16(502), []byte("<html>"+personName+"</html>"))
		f.Add(uint8(i), uint16(302), []byte(good))
	}
	f.Fuzz(func(t *testing.T, n uint8, status uint16, body []byte) {
		action := []string{bind, grant, link}[n%3]
		got, err := call(t.Context(), newClient(t, says(int(status), string(body))), action)
		if err == nil {
			if !holds(action, int(status), body) {
				t.Errorf("%s = %+v from status %d, %q", action, got, status, body)
			}
			return
		}
		checkFault(t, fault.Of(err), err.Error(), body)
	})
}

// holds reads an answer in another way than the client: does it say that the
// action is done?
func holds(action string, status int, body []byte) bool {
	var a struct {
		Response struct {
			Error struct {
				Code    string `json:"Code"`
				Message string `json:"Message"`
			} `json:"Error"`
			Status  int64    `json:"Status"`
			UserIDs []string `json:"UserIds"`
			URL     string   `json:"Url"`
			Path    string   `json:"SealOperatorVerifyPath"`
			QRCode  string   `json:"SealOperatorVerifyQrcodeUrl"`
		} `json:"Response"`
	}
	if status != http.StatusOK || json.Unmarshal(body, &a) != nil {
		return bytes.Contains(body, []byte("InvalidParameter")) || bytes.Contains(body, []byte("HasAuthorized"))
	}
	r := a.Response
	switch {
	case action == bind && strings.HasPrefix(r.Error.Code, "InvalidParameter"):
		return strings.Contains(r.Error.Message, "绑定")
	case action == grant && r.Error.Code == "FailedOperation.HasAuthorized":
		return true
	case r.Error.Code != "":
		return false
	case action == bind:
		return r.Status == 1
	case action == grant:
		return r.UserIDs != nil || r.Path != "" || r.QRCode != ""
	}
	return r.URL != ""
}

var (
	ourText = regexp.MustCompile(`^[a-z ]+: (AnswerNotJSON|AnswerIncomplete|NotBound|HTTP\d+): [A-Za-z' -]+$`)
	anID    = regexp.MustCompile(`^[0-9A-Za-z._-]{0,100}$`)
	aCode   = regexp.MustCompile(`^[A-Za-z][0-9A-Za-z._-]{0,99}$`)
)

func checkFault(t *testing.T, f *fault.Error, text string, body []byte) {
	t.Helper()
	if !slices.Contains([]fault.Kind{fault.Transient, fault.Throttled, fault.Permanent, fault.Misconfigured}, f.Kind) ||
		!aCode.MatchString(f.Code) || !anID.MatchString(f.RequestID) {
		t.Errorf("fault %+v is not one", f)
	}
	if (f.Kind == fault.Misconfigured) != (f.Scope != "") && f.Kind == fault.Misconfigured {
		t.Errorf("fault %+v holds nothing", f)
	}
	if len(f.Message) > 1024 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("text %q is not fit for a line", text)
	}
	if strings.Contains(text, personName) || strings.Contains(text, personNumber) {
		t.Errorf("text %q names the person", text)
	}
	if len(body) > 64 && strings.Contains(text, string(body)) {
		t.Errorf("text %q holds the body", text)
	}
	for _, ours := range []string{"AnswerNotJSON", "AnswerIncomplete", "NotBound", "HTTP"} {
		if strings.HasPrefix(f.Code, ours) && !json.Valid(body) && !ourText.MatchString(text) {
			t.Errorf("text %q of an answer that is no envelope has more than our words", text)
		}
	}
}
