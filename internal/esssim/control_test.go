package esssim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/esssim"
)

// control makes a request below /sim/ and decodes the answer into out.
func control(t *testing.T, sim *esssim.Sim, method, path, body string, out any) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://sim.test"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := sim.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			t.Fatalf("%s %s = %s: %v", method, path, b, err)
		}
	}
	return resp.StatusCode, string(b)
}

func TestControl_faults(t *testing.T) {
	sim := esssim.New(esssim.Config{})
	var got esssim.Fault
	status, text := control(t, sim, http.MethodPost, "/sim/faults",
		`{"kind":"latency","delay":"1.5s","action":"`+linkAction+`","ratio":0.5,"count":3}`, &got)
	want := esssim.Fault{ID: 1, Kind: esssim.Latency, Delay: 1500 * time.Millisecond, Action: linkAction, Ratio: 0.5, Count: 3}
	if diff := cmp.Diff(want, got); diff != "" || status != http.StatusCreated {
		t.Errorf("POST = %d (-want +got)\n%s", status, diff)
	}
	if want := `{"id":1,"kind":"latency","action":"` + linkAction + `","ratio":0.5,"count":3,"delay":"1.5s"}`; text != want {
		t.Errorf("POST = %s, want %s", text, want)
	}
	control(t, sim, http.MethodPost, "/sim/faults", `{"kind":"rotate_key","secretKey":"hidden"}`, nil)
	var list struct{ Faults []esssim.Fault }
	if _, text := control(t, sim, http.MethodGet, "/sim/faults", "", &list); len(list.Faults) != 2 || strings.Contains(text, "hidden") {
		t.Errorf("GET = %s, want two faults without the secret key", text)
	}
	if diff := cmp.Diff(want, sim.Faults()[0]); diff != "" {
		t.Errorf("Faults()[0] (-want +got)\n%s", diff)
	}
	control(t, sim, http.MethodDelete, "/sim/faults?id=1", "", &list)
	if len(list.Faults) != 1 || list.Faults[0].ID != 2 {
		t.Errorf("DELETE ?id=1 left %+v, want fault 2", list.Faults)
	}
	control(t, sim, http.MethodDelete, "/sim/faults", "", &list)
	if len(list.Faults) != 0 {
		t.Errorf("DELETE left %+v, want none", list.Faults)
	}
}

func TestControl_refuses(t *testing.T) {
	tests := []struct {
		method, path, body string
		status             int
		names              string
	}{
		{"POST", "/sim/faults", `{"kind":"explode"}`, 400, "kind"},
		{"POST", "/sim/faults", `{"kind":"null","ratio":2}`, 400, "ratio"},
		{"POST", "/sim/faults", `{"kind":"null","ratoi":1}`, 400, "ratoi"},
		{"POST", "/sim/faults", `{"kind":"null","count":"3"}`, 400, "count"},
		{"POST", "/sim/faults", `{"kind":"latency","delay":"soon"}`, 400, "delay"},
		{"POST", "/sim/faults", `{"kind":"latency","delay":3}`, 400, "delay"},
		{"POST", "/sim/faults", `{"kind":"clock","offset":"soon"}`, 400, "offset"},
		{"POST", "/sim/faults", `not JSON`, 400, "invalid"},
		{"POST", "/sim/faults", ``, 400, ""},
		{"DELETE", "/sim/faults?id=x", ``, 400, "id"},
		{"DELETE", "/sim/faults?id=9", ``, 404, "id"},
		{"PUT", "/sim/faults", ``, 405, "PUT"},
		{"POST", "/sim/state", ``, 405, "POST"},
		{"GET", "/sim/calls?limit=x", ``, 400, "limit"},
		{"GET", "/sim/calls?limit=-1", ``, 400, "limit"},
		{"GET", "/sim/calls?since=x", ``, 400, "since"},
		{"GET", "/sim/nothing", ``, 404, "/sim/nothing"},
	}
	for _, tt := range tests {
		sim := esssim.New(esssim.Config{})
		var got struct{ Error string }
		status, text := control(t, sim, tt.method, tt.path, tt.body, &got)
		if status != tt.status || !strings.Contains(got.Error, tt.names) || got.Error == "" {
			t.Errorf("%s %s %s = %d %s, want %d naming %q", tt.method, tt.path, tt.body, status, text, tt.status, tt.names)
		}
		if n := len(sim.Faults()); n != 0 {
			t.Errorf("%s %s %s put %d faults in force", tt.method, tt.path, tt.body, n)
		}
	}
}

func TestControl_calls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := esssim.New(esssim.Config{})
		c := newCaller(sim)
		c.call(t, bindAction, okBody(bindAction))
		time.Sleep(time.Hour)
		for range 3 {
			c.call(t, linkAction, okBody(linkAction))
		}
		for path, want := range map[string]int{
			"/sim/calls": 4, "/sim/calls?limit=2": 2, "/sim/calls?limit=0": 0, "/sim/calls?action=" + bindAction: 1,
			"/sim/calls?since=5m": 3, "/sim/calls?since=2000-01-01T00:30:00Z": 3, "/sim/calls?action=" + linkAction + "&limit=9": 3,
		} {
			var got struct {
				Calls        []esssim.Call
				MaxPerSecond struct{ Sliding, Calendar int }
			}
			if status, text := control(t, sim, http.MethodGet, path, "", &got); status != http.StatusOK || len(got.Calls) != want {
				t.Errorf("GET %s = %d %s, want %d calls", path, status, text, want)
			}
			if path == "/sim/calls?limit=2" && (got.Calls[1].Seq != 4 || got.MaxPerSecond.Sliding != 3) {
				t.Errorf("GET %s = %+v, want the newest, counted before the limit", path, got)
			}
		}
		control(t, sim, http.MethodDelete, "/sim/calls", "", nil)
		if n := len(sim.Calls()); n != 0 {
			t.Errorf("%d calls on record after DELETE, want none", n)
		}
		if n := sim.State().Counters[linkAction].OK; n != 3 {
			t.Errorf("counter after DELETE = %d, want 3", n)
		}
	})
}

// Neither the record nor the state shows a person.
func TestControl_noPersonalData(t *testing.T) {
	sim := esssim.New(esssim.Config{})
	c := newCaller(sim)
	link := c.call(t, linkAction, okBody(linkAction)).Response
	c.call(t, linkAction, linkBody(esssim.PersonWithoutName, esssim.PersonWithoutIDCardNumber, ""))
	_, calls := control(t, sim, http.MethodGet, "/sim/calls", "", nil)
	_, state := control(t, sim, http.MethodGet, "/sim/state", "", nil)
	for _, secret := range []string{
		esssim.PersonName, esssim.PersonIDCardNumber, esssim.PersonWithoutName, esssim.PersonWithoutIDCardNumber,
		link.URL, link.QrCode, esssim.SecretKey,
	} {
		if strings.Contains(calls+state, secret) {
			t.Errorf("%q can be read below /sim/", secret)
		}
	}
	entity := esssim.LinkEntity(esssim.SceneKey, esssim.PersonName, esssim.IDCardType, esssim.PersonIDCardNumber)
	if !strings.Contains(calls, entity) || !strings.Contains(state, entity) {
		t.Errorf("%s cannot be found below /sim/", entity)
	}
}

func TestControl_state(t *testing.T) {
	sim := esssim.New(esssim.Config{})
	c := newCaller(sim)
	c.call(t, bindAction, bindBody("yDSIM1", "n1"))
	c.call(t, grantAction, grantBody(esssim.SealID, esssim.GranteeOpenID, "sim1"))
	var st esssim.State
	control(t, sim, http.MethodGet, "/sim/state", "", &st)
	if diff := cmp.Diff(sim.State(), st); diff != "" {
		t.Errorf("GET /sim/state differs from State() (-State +GET)\n%s", diff)
	}
	bound := false
	for _, e := range st.Employees {
		bound = bound || (e.UserID == "yDSIM1" && e.OpenID == "n1" && e.Organisation == esssim.HeadOrganizationID)
	}
	if !bound {
		t.Error("the bound employee is not in the state")
	}
	for _, s := range st.Seals {
		if s.ID == esssim.SealID && len(s.UserIDs) != 2 {
			t.Errorf("seal = %+v, want two users", s)
		}
	}
}
