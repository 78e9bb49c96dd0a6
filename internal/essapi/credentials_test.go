package essapi_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/essapi"
	"essworker/internal/fault"
)

// files are a mounted credential.
type files struct {
	t              *testing.T
	id, key, token string
}

func newFiles(t *testing.T) files {
	dir := t.TempDir()
	f := files{t, filepath.Join(dir, "id"), filepath.Join(dir, "key"), filepath.Join(dir, "token")}
	f.write("1")
	return f
}

// write puts generation n into all three.
func (f files) write(n string) {
	f.put(f.id, "AKID"+n)
	f.put(f.key, "key"+n)
	f.put(f.token, "token"+n)
}

func (f files) put(path, value string) {
	f.t.Helper()
	if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f files) config() essapi.Config {
	cfg := config()
	cfg.SecretID, cfg.SecretKey = "", ""
	cfg.SecretIDFile, cfg.SecretKeyFile, cfg.TokenFile = f.id, f.key, f.token
	return cfg
}

// generation is a vendor that accepts some generations of the credential, one
// digit each, and keeps which it was given.
type generation struct {
	accepts string
	given   []string
}

func (g *generation) RoundTrip(r *http.Request) (*http.Response, error) {
	_, id, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=AKID")
	id, _, _ = strings.Cut(id, "/")
	g.given = append(g.given, id)
	code := ""
	switch {
	case !strings.Contains(g.accepts, id):
		code = "AuthFailure.SecretIdNotFound"
	case r.Header.Get("X-TC-Token") != "token"+id:
		code = "AuthFailure.TokenFailure"
	case verify(r, []byte(bodyBind), "key"+id) != nil:
		code = "AuthFailure.SignatureFailure"
	}
	if code != "" {
		return refuses(code, "m").RoundTrip(r)
	}
	return says(http.StatusOK, good).RoundTrip(r)
}

// The vendor accepts both generations for a while, as it does when keys are
// rotated by the book: no call may fail, and the new set is soon in use.
func TestCredentials_rotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, vendor := newFiles(t), &generation{accepts: "12"}
		c := newClientWith(t, f.config(), essapi.Options{Transport: vendor})
		try := func() error { _, err := call(t.Context(), c, bind); return err }
		if err := try(); err != nil {
			t.Fatal(err)
		}
		// One file after the other, with calls in between that look at the files.
		time.Sleep(time.Second)
		f.put(f.id, "AKID2")
		if err := try(); err != nil {
			t.Errorf("new id, old key and token: %v, want the old set still in use", err)
		}
		f.put(f.key, "key2")
		time.Sleep(time.Second)
		if err := try(); err != nil {
			t.Errorf("new id and key, old token: %v, want the old set still in use", err)
		}
		f.put(f.token, "token2")
		for range 2 { // seen once, and a second time
			time.Sleep(time.Second)
			if err := try(); err != nil {
				t.Errorf("new set: %v, want success", err)
			}
		}
		if got := strings.Join(vendor.given, ""); got != "11112" {
			t.Errorf("generations in use = %s, want 11112", got)
		}
	})
}

// A rotation so slow that a mixed set was taken: the next look mends it.
func TestCredentials_mixedSetDoesNotStick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, vendor := newFiles(t), &generation{accepts: "2"}
		c := newClientWith(t, f.config(), essapi.Options{Transport: vendor})
		f.put(f.id, "AKID2")
		var code string
		for range 5 {
			time.Sleep(time.Second)
			_, err := call(t.Context(), c, bind)
			code = codeOf(err)
		}
		if code != "AuthFailure.TokenFailure" {
			t.Fatalf("half a rotation for five seconds = %q, want the mixed set in use", code)
		}
		f.put(f.key, "key2")
		f.put(f.token, "token2")
		time.Sleep(time.Second)
		_, err := call(t.Context(), c, bind)
		if got := fault.Of(err); got.Kind != fault.Transient || !strings.Contains(got.Message, "replaced meanwhile") {
			t.Errorf("a mixed set refused, its successor on disk = %v, want a transient fault that says so", err)
		}
		if _, err := call(t.Context(), c, bind); err != nil {
			t.Errorf("the call after it: %v, want success", err)
		}
	})
}

// Files that were written long ago are complete: they are taken at first sight,
// or the first call after a quiet night would go out under a dead key.
func TestCredentials_settledFilesAreTakenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, vendor := newFiles(t), &generation{accepts: "2"}
		c := newClientWith(t, f.config(), essapi.Options{Transport: vendor})
		f.write("2")
		for _, path := range []string{f.id, f.key, f.token} {
			if err := os.Chtimes(path, time.Time{}, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		if _, err := call(t.Context(), c, bind); err != nil {
			t.Errorf("settled files: %v, want success", err)
		}
	})
}

// A refused credential without a successor holds the lane; with one it does not.
func TestCredentials_refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, vendor := newFiles(t), &generation{accepts: "2"}
		c := newClientWith(t, f.config(), essapi.Options{Transport: vendor})
		_, err := call(t.Context(), c, bind)
		if got := meaningOf(fault.Of(err)); got != badKey {
			t.Errorf("a refused credential, the files unchanged = %+v, want %+v", got, badKey)
		}
		f.write("2")
		_, err = call(t.Context(), c, bind) // within the second: the files were not looked at
		want := meaning{kind: fault.Transient, after: time.Second}
		if got := fault.Of(err); meaningOf(got) != want || got.Code != "AuthFailure.SecretIdNotFound" {
			t.Errorf("a refused credential, the files changed = %+v, want %+v", got, want)
		}
		if _, err := call(t.Context(), c, bind); err != nil {
			t.Errorf("the call after it: %v, want success", err)
		}
		if n := len(vendor.given); n != 3 {
			t.Errorf("3 calls sent %d requests, want one each", n)
		}
	})
}

// Files that vanish or are written half-way leave the last good set in force.
func TestCredentials_unreadableFilesKeepTheLastSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiles(t)
		vendor := &generation{accepts: "1"}
		var log strings.Builder
		c := newClientWith(t, f.config(), essapi.Options{Transport: vendor, Log: slog.New(slog.NewTextHandler(&log, nil))})
		for name, spoil := range map[string]func(){
			"vanished":   func() { _ = os.Remove(f.key) },
			"empty":      func() { f.put(f.key, "") },
			"two lines":  func() { f.put(f.key, "a\nb") },
			"binary":     func() { f.put(f.key, "\x00\xff") },
			"a page":     func() { f.put(f.key, "<html lang=en>") },
			"no token":   func() { _ = os.Remove(f.token) },
			"empty id":   func() { f.put(f.id, "  ") },
			"not a file": func() { _ = os.Remove(f.id); _ = os.Mkdir(f.id, 0o700) },
		} {
			spoil()
			for range 3 {
				time.Sleep(time.Second)
				if _, err := call(t.Context(), c, bind); err != nil {
					t.Errorf("%s: %v, want the last good set in use", name, err)
				}
			}
			_ = os.RemoveAll(f.id)
			f.write("1")
			time.Sleep(time.Second)
			if _, err := call(t.Context(), c, bind); err != nil {
				t.Errorf("%s, and mended: %v", name, err)
			}
			for _, want := range []string{"cannot be used", "can be used again"} { // once each, however many looks
				if n := strings.Count(log.String(), want); n != 1 {
					t.Errorf("%s: %q is logged %d times, want once:\n%s", name, want, n, log.String())
				}
			}
			if strings.Contains(log.String(), "html") {
				t.Errorf("%s: what a file holds is logged:\n%s", name, log.String())
			}
			log.Reset()
		}
	})
}

func TestNew_unreadableFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(files)
		want  string
	}{
		"missing": {func(f files) { _ = os.Remove(f.key) }, "--tencentcloud-secret-key-file: stat "},
		"empty":   {func(f files) { f.put(f.token, "") }, "--tencentcloud-token-file: "},
		"binary":  {func(f files) { f.put(f.id, "se\x00cret") }, "--tencentcloud-secret-id-file: "},
		"folder":  {func(f files) { _ = os.Remove(f.id); _ = os.Mkdir(f.id, 0o700) }, "is not a regular file"},
	} {
		f := newFiles(t)
		tt.spoil(f)
		_, err := essapi.New(f.config(), essapi.Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "se\x00cret") {
			t.Errorf("New with a file %s: %v, want %q in the error", name, err, tt.want)
		}
	}
}

// The clock is told to the operator, and a request that only lay about is not
// taken for a wrong clock.
func TestClient_signatureExpired(t *testing.T) {
	again := meaning{fault.Transient, "", 3, time.Second}
	for _, tt := range []struct {
		date string // the vendor's, when ours is 2000-01-01T00:00:00Z
		want meaning
		text string
	}{
		{"", badKey, "m"}, // without the vendor's clock
		{"garbage", badKey, "m"},
		{"Fri, 31 Dec 1999 23:52:30 GMT", badKey, "m; our clock is 7m30s ahead of the vendor's"},
		{"Sat, 01 Jan 2000 02:00:00 GMT", badKey, "m; our clock is 2h0m0s behind the vendor's"},
		{"Sat, 01 Jan 2000 00:00:01 GMT", again, "m; our clock is 1s behind the vendor's"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := faultOf(t, wire(func(r *http.Request) (*http.Response, error) {
				resp, err := refuses("AuthFailure.SignatureExpire", "m").RoundTrip(r)
				resp.Header.Set("Date", tt.date)
				return resp, err
			}), bind)
			if meaningOf(f) != tt.want || f.Message != tt.text {
				t.Errorf("SignatureExpire with Date %q = %+v, want %+v with %q", tt.date, f, tt.want, tt.text)
			}
		})
	}
}

func TestClient_signatureExpired_noteIsNotCutOff(t *testing.T) {
	f := faultOf(t, wire(func(r *http.Request) (*http.Response, error) {
		resp, err := refuses("AuthFailure.SignatureExpire", strings.Repeat("长", 1000)).RoundTrip(r)
		resp.Header.Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		return resp, err
	}), bind)
	if !strings.HasSuffix(f.Message, " ahead of the vendor's") || len(f.Message) > 1024 {
		t.Errorf("message = %d bytes ending %q, want at most 1024 with the clock's difference", len(f.Message), f.Message[max(0, len(f.Message)-40):])
	}
}

// Many calls at once while a file changes and every call looks at it, for -race.
func TestCredentials_concurrently(t *testing.T) {
	f := newFiles(t)
	odd := make(chan error, 1)
	c := newClientWith(t, f.config(), essapi.Options{Transport: wire(func(r *http.Request) (*http.Response, error) {
		_, id, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=AKID")
		id, _, _ = strings.Cut(id, "/")
		if err := verify(r, []byte(bodyBind), "key"+id); err != nil {
			select {
			case odd <- fmt.Errorf("generation %s: %w", id, err):
			default:
			}
		}
		return refuses("AuthFailure.TokenFailure", "m").RoundTrip(r)
	})})
	done := make(chan struct{})
	for range 8 {
		go func() {
			for range 50 {
				_, _ = call(t.Context(), c, bind)
			}
			done <- struct{}{}
		}()
	}
	f.put(f.token, "token2")
	for range 8 {
		<-done
	}
	select {
	case err := <-odd:
		t.Error(err)
	default:
	}
}
