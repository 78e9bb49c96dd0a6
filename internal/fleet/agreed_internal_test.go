package fleet

import (
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/kv"
)

// TestAgreed_learn: what is read late, or on a replica that lags, undoes nothing that is
// known better.
func TestAgreed_learn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := agreed{records: map[string]record{}}
		const key = "gate.breaker.a"
		open, blank := []byte(`{"kind":"breaker","name":"a","since":"2026-01-02T03:04:05Z"}`), []byte(`{"kind":"breaker","name":"a"}`)
		for i, tt := range []struct {
			e    kv.Entry
			shut bool
			news bool
		}{
			{kv.Entry{Value: open, Rev: 5}, true, true},
			{kv.Entry{Value: open, Rev: 5}, true, false},
			{kv.Entry{Value: blank, Rev: 4}, true, false}, // an older one
			{kv.Entry{Rev: 3}, true, false},
			{kv.Entry{}, true, false}, // a key that was never written, as far as a lagging replica knows
			{kv.Entry{Rev: 6}, false, true},
			{kv.Entry{Value: open, Rev: 5}, false, false},
			{kv.Entry{Value: open, Rev: 9}, true, true},
			{kv.Entry{Value: []byte("{"), Rev: 10}, false, true}, // cannot be read: counts as none
		} {
			_, _, news, err := a.learn(key, tt.e)
			if shut := a.bar(key).Shut(); shut != tt.shut || news != tt.news || a.quiet() == shut {
				t.Errorf("step %d: shut %t, news %t, quiet %t; want %t, %t, %t (error %v)", i, shut, news, a.quiet(), tt.shut, tt.news, !tt.shut, err)
			}
		}
		if _, _, news, err := a.learn("gate.later.version", kv.Entry{Value: []byte("{"), Rev: 11}); err != nil || !news || !a.quiet() {
			t.Errorf("a record of a later version: news %t, error %v, quiet %t; want it left alone", news, err, a.quiet())
		}
	})
}

// TestAgreed_forget: a record that is not there any more is forgotten, unless it was
// seen a moment ago: a replica that lags may not have it yet.
func TestAgreed_forget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := agreed{records: map[string]record{}}
		for _, key := range []string{"gate.breaker.a", "gate.breaker.b", "tenant.c"} {
			if _, _, _, err := a.learn(key, kv.Entry{Value: []byte(`{"since":"2026-01-02T03:04:05Z"}`), Rev: 5}); err != nil {
				t.Fatal(err)
			}
		}
		held := map[string]kv.Entry{"gate.breaker.b": {}}
		if gone := a.forget(gateKeys, held); len(gone) > 0 {
			t.Errorf("forget = %v a moment after they were learnt, want none", gone)
		}
		time.Sleep(pollEvery)
		if gone := a.forget(gateKeys, held); len(gone) != 1 || !gone[0].Shut() {
			t.Errorf("forget = %v, want what is not held", gone)
		}
		for key, want := range map[string]bool{"gate.breaker.a": false, "gate.breaker.b": true, "tenant.c": true} {
			if got := a.bar(key).Shut(); got != want {
				t.Errorf("then %s is shut: %t, want %t", key, got, want)
			}
		}
		if a.forget(gateKeys, nil); a.quiet() {
			t.Error("with a tenant held all is quiet")
		}
		if a.forget(tenantKeys, nil); !a.quiet() {
			t.Error("with nothing left it is not quiet")
		}
	})
}
