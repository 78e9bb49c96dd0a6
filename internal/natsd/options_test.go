package natsd

import "testing"

// TestOptions_sync has the disk before the answer, unless it was asked otherwise.
func TestOptions_sync(t *testing.T) {
	for _, noSync := range []bool{false, true} {
		opts, err := options(Config{Dir: "x", NoSync: noSync})
		if err != nil {
			t.Fatal(err)
		}
		if opts.SyncAlways == noSync {
			t.Errorf("NoSync %t gives SyncAlways %t", noSync, opts.SyncAlways)
		}
		if !opts.DontListen || !opts.NoSigs || opts.JetStreamMaxStore <= 0 || opts.JetStreamMaxMemory <= 0 {
			t.Errorf("options %+v: want no port, no signals, limits of storage", opts)
		}
	}
}
