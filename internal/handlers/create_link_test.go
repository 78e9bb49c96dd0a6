package handlers_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/esssim"
	"essworker/schemas"
)

// Subscribers cut links out of the text, so & stays &.
func TestLink_ampersand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		byType, _ := routes(t, defaults, esssim.New(esssim.Config{}))
		_, result, err := run(t, byType["autosign.link.requested"], `{"sceneKey": "OTHER", `+anyone+`}`)
		if err != nil || !bytes.Contains(result, []byte("KA_AUTO_ESIGN_MODIFY&shortKey=")) {
			t.Errorf("Call() = %s, %v, want a path with &", result, err)
		}
		if bytes.HasSuffix(result, []byte("\n")) {
			t.Errorf("Call() = %q, want no line end", result)
		}
	})
}

func TestLink_expiry(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name      string
		validFor  string
		expiresAt time.Duration // after the start; 0 is none
		fraction  time.Duration // of expiresAt, below its second
		wait      time.Duration // from the start to Prepare
		queued    time.Duration // from Prepare to Call
		want      time.Duration // ExpiredTime after the start
		prepare   string        // the fault of Prepare
		call      string        // the fault of Call
	}{
		{name: "neither", want: 7 * day},
		{name: "neither, from the call", queued: day, want: 8 * day},
		{name: "validFor", validFor: "168h", want: 7 * day},
		{name: "validFor from the call", validFor: "90m", queued: day, want: day + 90*time.Minute},
		{name: "validFor of parts", validFor: "1h30m", want: 90 * time.Minute},
		{name: "validFor below a second", validFor: "1ns", want: time.Second},
		{name: "validFor with a fraction", validFor: "1.5s", want: 2 * time.Second},
		{name: "within a second", validFor: "1s", wait: 900 * time.Millisecond, want: time.Second},
		{name: "longest, a minute short", validFor: "720h", want: 30*day - time.Minute},
		{name: "just below the longest", validFor: "719h", want: 719 * time.Hour},
		{name: "validFor too long", validFor: "721h", prepare: "permanent invalid OutOfRange"},
		{name: "validFor a hair too long", validFor: "720h1ns", prepare: "permanent invalid OutOfRange"},
		{name: "validFor zero", validFor: "0s", prepare: "permanent invalid OutOfRange"},
		{name: "validFor negative", validFor: "-1h", prepare: "permanent invalid OutOfRange"},
		{name: "validFor garbage", validFor: "a week", prepare: "permanent invalid BadDuration"},
		{name: "validFor overflows", validFor: "99999999999h", prepare: "permanent invalid BadDuration"},

		{name: "expiresAt", expiresAt: day, want: day},
		{name: "expiresAt with a fraction", expiresAt: day, fraction: 999 * time.Millisecond, want: day},
		{name: "expiresAt after a wait", expiresAt: day, queued: day - time.Second, want: day},
		{name: "expiresAt in exactly 30 days", expiresAt: 30 * day, want: 30*day - time.Minute},
		{name: "expiresAt more than 30 days ahead", expiresAt: 30*day + time.Second, prepare: "permanent invalid OutOfRange"},
		{name: "expiresAt now", expiresAt: time.Hour, wait: time.Hour, prepare: "permanent expired Expired"},
		{name: "expiresAt past", expiresAt: time.Hour, wait: 2 * time.Hour, prepare: "permanent expired Expired"},
		{name: "expiresAt past at the call", expiresAt: time.Hour, queued: 2 * time.Hour, call: "permanent expired Expired"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := esssim.New(esssim.Config{})
				byType, w := routes(t, defaults, sim)
				start := time.Now()
				data := `{"sceneKey": "OTHER", ` + anyone + fmt.Sprintf(`, "validFor": %q}`, tt.validFor)
				if tt.expiresAt != 0 {
					at := start.Add(tt.expiresAt + tt.fraction).Format(time.RFC3339Nano)
					data = `{"sceneKey": "OTHER", ` + anyone + fmt.Sprintf(`, "expiresAt": %q}`, at)
				}
				time.Sleep(tt.wait)
				job, err := byType["autosign.link.requested"].Prepare([]byte(data))
				if got := summary(err); got != tt.prepare {
					t.Fatalf("Prepare() = fault %q, want %q", got, tt.prepare)
				}
				if err != nil {
					return
				}
				if ends := start.Add(tt.expiresAt); tt.expiresAt == 0 && !job.Expires.IsZero() || tt.expiresAt != 0 && !job.Expires.Equal(ends) {
					t.Errorf("of no use from %v on, want expiresAt or never", job.Expires)
				}
				time.Sleep(tt.queued)
				result, err := job.Call(t.Context())
				if got := summary(err); got != tt.call {
					t.Fatalf("Call() = fault %q, want %q (%v)", got, tt.call, err)
				}
				if tt.call != "" {
					if calls := sim.Calls(); len(calls) != 0 {
						t.Errorf("the vendor was called: %+v", calls)
					}
					return
				}
				sent := int64(decode(t, w.sent[0])["ExpiredTime"].(float64))
				if want := start.Add(tt.want).Unix(); sent != want {
					t.Errorf("ExpiredTime = start%+ds, want start%+ds", sent-start.Unix(), want-start.Unix())
				}
				if got, want := decode(t, result)["expiresAt"], time.Unix(sent, 0).UTC().Format(time.RFC3339); got != want {
					t.Errorf("expiresAt = %v, want what was sent, %s", got, want)
				}
			})
		})
	}
}

// The schema says no first to what the contract calls invalid and it can tell.
func TestLink_schemaRefuses(t *testing.T) {
	for _, fields := range []string{
		`"validFor": "-1h"`, `"validFor": "a week"`, `"validFor": ""`, `"expiresAt": "tomorrow"`,
		`"validFor": "1h", "expiresAt": "2026-12-01T00:00:00Z"`,
	} {
		data := []byte(`{"sceneKey": "OTHER", ` + anyone + `, ` + fields + `}`)
		if err := schemas.Validate("autosign.link.requested", data); err == nil {
			t.Errorf("Validate(%s) = nil, want a violation", fields)
		}
	}
}
