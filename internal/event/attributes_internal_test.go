package event

import "testing"

func TestCoreIndex(t *testing.T) {
	for i, name := range coreNames {
		if got := coreIndex(name); got != i {
			t.Errorf("coreIndex(%q) = %d, want %d", name, got, i)
		}
	}
	if got := coreIndex("correlationid"); got != -1 {
		t.Errorf("coreIndex(correlationid) = %d, want -1", got)
	}
}
