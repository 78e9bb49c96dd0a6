package natsd_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/natsd"
)

// TestEncrypted holds what docs/security.md says of encryption at rest. With cipher and key
// in the jetstream block nothing of what is stored can be read on the disk; streams from before are kept. Started without
// the key, the server knows of no stream; with it all is there again, unless somebody has
// tried to make the stream anew, as worker setup does: that is refused, and yet removes
// what was there.
func TestEncrypted(t *testing.T) {
	const subject, secret = "ess.events.somebody", "620000198802020000"
	config := jetstream.StreamConfig{Name: "E", Subjects: []string{"ess.events.*"}}
	use := func(t *testing.T, dir, key string, do func(js jetstream.JetStream)) {
		t.Helper()
		cfg := natsd.Config{Dir: dir}
		if key != "" {
			cfg.File = filepath.Join(t.TempDir(), "nats.conf")
			if err := os.WriteFile(cfg.File, []byte(`jetstream { cipher: chacha, key: "`+key+`" }`), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := start(t, cfg)
		nc, err := s.Connect()
		if err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		do(js)
		nc.Close()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	fill := func(js jetstream.JetStream) {
		if _, err := js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), subject, []byte(secret)); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(js jetstream.JetStream) uint64 {
		s, err := js.Stream(t.Context(), config.Name)
		if err != nil {
			return 0
		}
		return s.CachedInfo().State.Msgs
	}

	plain, dir := t.TempDir(), t.TempDir()
	use(t, plain, "", fill)
	use(t, dir, "the right key, and a long one", fill)
	if !found(t, plain, subject) || !found(t, plain, secret) {
		t.Error("without encryption nothing is found on the disk: the search is wrong")
	}
	if found(t, dir, subject) || found(t, dir, secret) {
		t.Error("subject or data are on the disk as they are, in spite of encryption")
	}
	use(t, plain, "the right key, and a long one", func(js jetstream.JetStream) {
		if n := holds(js); n != 1 {
			t.Errorf("a stream from before has %d messages, want the one", n)
		}
	})
	for _, wrong := range []string{"", "another key, and a long one"} {
		use(t, dir, wrong, func(js jetstream.JetStream) {
			if n := holds(js); n != 0 {
				t.Errorf("with the key %q the stream has %d messages, want none to be known", wrong, n)
			}
		})
		use(t, dir, "the right key, and a long one", func(js jetstream.JetStream) {
			if n := holds(js); n != 1 {
				t.Errorf("after a start with the key %q the stream has %d messages, want the one", wrong, n)
			}
		})
	}
	use(t, dir, "another key, and a long one", func(js jetstream.JetStream) {
		if _, err := js.CreateStream(t.Context(), config); err == nil {
			t.Error("the stream was made, want it refused")
		}
	})
	use(t, dir, "the right key, and a long one", func(js jetstream.JetStream) {
		if n := holds(js); n != 0 {
			t.Errorf("the try to make the stream anew has left %d messages: docs/security.md warns without need", n)
		}
	})
}

// found looks for a text in all files of a folder.
func found(t *testing.T, dir, text string) (yes bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		yes = yes || bytes.Contains(content, []byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return yes
}
