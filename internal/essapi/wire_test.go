package essapi_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/essapi"
)

// sent is what went over the wire.
type sent struct {
	request *http.Request
	body    string
}

// recording gives a vendor that keeps what it is sent and answers each action with a success.
func recording(t *testing.T, all *[]sent) wire {
	t.Helper()
	return func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading the request: %v", err)
		}
		*all = append(*all, sent{r, string(body)})
		return response(r, http.StatusOK, strings.NewReader(successes[r.Header.Get("X-TC-Action")])), nil
	}
}

var successes = map[string]string{
	bind:  `{"Response":{"RequestId":"fc0b0a6b-01b4-4042-b236-c5356af1d5d8","Status":1}}`,
	grant: `{"Response":{"UserIds":["yDxbWUyKQDx7OZUuO4zjESvEkRMHc55R"],"RequestId":"s1615674603446404796"}}`,
	link:  `{"Response":{"AppId":"wxa023b292fd19d41d","AppOriginalId":"gh_da88f6188665","Path":"page?abc=123&def=456","QrCode":"EBAQ","RequestId":"s1","Url":"https://essurl.cn/dKd"}}`,
}

// The three calls at the vectors' time, compared with the vectors: method, URL,
// every header and every byte of the body.
func TestClient_wire(t *testing.T) {
	product := map[string]struct{ vector, host, version string }{
		bind:  {"A", "ess.tencentcloudapi.com", "2020-11-11"},
		link:  {"B", "ess.tencentcloudapi.com", "2020-11-11"},
		grant: {"C", "essbasic.tencentcloudapi.com", "2021-05-26"},
	}
	for action, want := range product {
		t.Run(action, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Unix(vectorTime, 0)))
				var all []sent
				if _, err := call(t.Context(), newClient(t, recording(t, &all)), action); err != nil {
					t.Fatalf("%s: %v", action, err)
				}
				if len(all) != 1 {
					t.Fatalf("%s sent %d requests, want 1", action, len(all))
				}
				got := all[0]
				for _, v := range vectors {
					if v.name != want.vector {
						continue
					}
					if got.body != v.body {
						t.Errorf("body =\n%s, want\n%s", got.body, v.body)
					}
					headers := http.Header{
						"Authorization":      {v.authorization()},
						"Content-Type":       {typeUTF8},
						"User-Agent":         {"essworker"},
						"X-Tc-Action":        {action},
						"X-Tc-Language":      {"zh-CN"},
						"X-Tc-Requestclient": {"essworker"},
						"X-Tc-Timestamp":     {"1700000000"},
						"X-Tc-Version":       {want.version},
					}
					if d := cmp.Diff(headers, got.request.Header); d != "" {
						t.Errorf("headers (-want +got):\n%s", d)
					}
				}
				if r := got.request; r.Method != http.MethodPost || r.URL.String() != "https://"+want.host+"/" || r.Host != want.host || r.ContentLength != int64(len(got.body)) {
					t.Errorf("request = %s %s, host %s, length %d", r.Method, r.URL, r.Host, r.ContentLength)
				}
			})
		})
	}
}

func TestClient_optionalProperties(t *testing.T) {
	var all []sent
	c := newClient(t, recording(t, &all))
	b := sampleBind
	b.OrganizationID = "yDxbNUyKQDx3oAUuO4zjEBQGidlGe4hP"
	if _, err := c.BindEmployee(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	l := sampleLink
	l.OrganizationID = "sub"
	l.Person.Name = `<阿&"贝>`
	l.ExpiresAt = time.Unix(1693290580, 999)
	if _, err := c.CreateSealLink(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	want := []string{
		strings.TrimSuffix(bodyBind, "}") + `,"Agent":{"ProxyOrganizationId":"yDxbNUyKQDx3oAUuO4zjEBQGidlGe4hP"}}`,
		`{"Operator":{"UserId":"yDRSRUUgygj6qnwfUuO4zjEwc193c2hH"},"SceneKey":"E_PRESCRIPTION_AUTO_SIGN","UserInfo":{"Name":"<阿&\"贝>","IdCardType":"ID_CARD","IdCardNumber":"620000198802020000"},"Agent":{"ProxyOrganizationId":"sub"},"ExpiredTime":1693290580}`,
	}
	if d := cmp.Diff(want, []string{all[0].body, all[1].body}); d != "" {
		t.Errorf("bodies (-want +got):\n%s", d)
	}
}

// A request must carry its body a second time if net/http finds a pooled
// connection closed before it wrote anything.
func TestClient_bodyCanBeSentAgain(t *testing.T) {
	_, err := call(t.Context(), newClient(t, wire(func(r *http.Request) (*http.Response, error) {
		again, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		first, _ := io.ReadAll(r.Body)
		second, _ := io.ReadAll(again)
		if string(first) != bodyBind || string(second) != bodyBind {
			t.Errorf("bodies = %q and %q, want %q twice", first, second, bodyBind)
		}
		return response(r, http.StatusOK, strings.NewReader(successes[bind])), nil
	})), bind)
	if err != nil {
		t.Error(err)
	}
}

// Each attempt is signed anew, with the token of a temporary credential, under
// the credential of its product.
func TestClient_signsEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Token = "session"
		cfg.BasicSecretID, cfg.BasicSecretKey = "AKIDbasic", "basickey"
		var all []sent
		c := newClientWith(t, cfg, essapi.Options{Transport: recording(t, &all)})
		for _, action := range []string{bind, bind, grant, link} {
			if _, err := call(t.Context(), c, action); err != nil {
				t.Fatal(err)
			}
			time.Sleep(7 * time.Minute)
		}
		wantTime := []string{"946684800", "946685220", "946685640", "946686060"}
		for i, s := range all {
			key, token := sampleKey, "session"
			if s.request.Header.Get("X-TC-Action") == grant {
				key, token = "basickey", ""
			}
			if err := verify(s.request, []byte(s.body), key); err != nil {
				t.Errorf("request %d: %v", i, err)
			}
			if got := s.request.Header.Get("X-TC-Token"); got != token {
				t.Errorf("request %d: token %q, want %q", i, got, token)
			}
			if got := s.request.Header.Get("X-TC-Timestamp"); got != wantTime[i] {
				t.Errorf("request %d: timestamp %s, want %s", i, got, wantTime[i])
			}
		}
	})
}
