package consumer_test

import (
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"essworker/internal/esssim"
)

// TestRotation_nobodyNotices changes the vendor's key twice while events come all the
// time: the new key is made, the files are written one after the other,
// then the old key is deleted. No call fails, no lane is held, no event comes a second time.
func TestRotation_nobodyNotices(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		var out lockedBuffer
		y.log = slog.New(slog.NewJSONHandler(&out, nil))
		dir := t.TempDir()
		write := func(name, value string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, name), []byte(value+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		y.vendor.SecretID, y.vendor.SecretKey = "", ""
		y.vendor.SecretIDFile, y.vendor.SecretKeyFile = filepath.Join(dir, "id"), filepath.Join(dir, "key")
		write("id", esssim.SecretID)
		write("key", esssim.SecretKey)

		second := func() {
			y.publish(3 * 8) // of a lane's 20 calls
			time.Sleep(time.Second)
		}
		for range 2 { // two workers, which look at the files at different moments
			defer y.work()()
			second()
		}
		old := esssim.SecretID
		for _, next := range []string{"AKIDsecond", "AKIDthird"} {
			y.sim.AddKey(esssim.Key{SecretID: next, SecretKey: "key-of-" + next})
			write("id", next)
			y.publish(3 * 8)
			time.Sleep(500 * time.Millisecond) // half of the new key is there, and the old one still signs
			write("key", "key-of-"+next)
			for range 3 {
				second()
			}
			y.sim.AddKey(esssim.Key{SecretID: old, SecretKey: "deleted"})
			second()
			old = next
		}
		y.settle(time.Minute)
		y.checkLaws()

		used := map[string]int{}
		for _, c := range y.sim.Calls() {
			used[c.SecretID]++
			if c.Outcome != "ok" {
				t.Errorf("call %d with key %s: %s, want none refused", c.Seq, c.SecretID, c.Outcome)
			}
		}
		if got := slices.Sorted(maps.Keys(used)); !slices.Equal(got, []string{"AKIDsecond", esssim.SecretID, "AKIDthird"}) || len(y.sim.Calls()) != len(y.events) {
			t.Errorf("%d calls for %d events, by key %v; want one each, and all three keys in use", len(y.sim.Calls()), len(y.events), used)
		}
		for line := range strings.Lines(out.String()) {
			if strings.Contains(line, `"msg":"event"`) != strings.Contains(line, `"outcome":"succeeded"`) || strings.Contains(line, "hold began") {
				t.Errorf("the log has %s", line)
			}
		}
	})
}
