package essapi_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"essworker/internal/essapi"
	"essworker/internal/pace"
)

// TestClient_asksForAnotherSlotAfterDialling: the slot a call was given is long past
// when it had to dial; a call on a kept connection goes at once.
func TestClient_asksForAnotherSlotAfterDialling(t *testing.T) {
	written := 0
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		written++
		_, _ = io.WriteString(w, `{"Response":{"Status":1,"RequestId":"r"}}`)
	}))
	defer vendor.Close()
	c, err := essapi.New(essapi.Config{
		Endpoint: vendor.URL, BasicEndpoint: vendor.URL, Timeout: time.Minute, SecretID: "id", SecretKey: "key",
	}, essapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	asked := 0
	ctx := pace.With(t.Context(), func(context.Context) error {
		if asked++; written > 0 {
			t.Error("the request was written before the slot was asked for")
		}
		return nil
	})
	for range 3 {
		if _, err := c.BindEmployee(ctx, essapi.BindEmployee{Operator: "o", UserID: "u", OpenID: "n"}); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 || written != 3 {
		t.Errorf("%d slots asked for in %d calls, want 1 in 3", asked, written)
	}
}
