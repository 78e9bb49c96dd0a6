// Package pace lets a quota follow a call to the wire.
//
// A slot of the quota is given out before a call; where the call must first dial,
// the request is written so much later that it crowds into another call's second.
// Whoever makes the call knows, so it asks for another slot right before it writes.
// The package exists so that the vendor client need not know about quotas, nor the
// quota about connections. It imports the standard library only.
package pace

import "context"

type key struct{}

// With gives a context whose call asks for another slot by again when it was held
// up on the way. Again waits until the call may go, or for the end of its context.
func With(ctx context.Context, again func(context.Context) error) context.Context {
	return context.WithValue(ctx, key{}, again)
}

// Paced reports whether the call has a pace to keep at all.
func Paced(ctx context.Context) bool { return ctx.Value(key{}) != nil }

// Again waits for another slot; without a pace it returns at once.
func Again(ctx context.Context) error {
	again, ok := ctx.Value(key{}).(func(context.Context) error)
	if !ok {
		return nil
	}
	return again(ctx)
}
