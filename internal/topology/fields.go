package topology

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// field is one setting of a stream or a consumer, and the rule that holds it.
type field[C any] struct {
	name string
	show func(*C) string
	// judge compares what is there with what is wanted. It is not asked if both are
	// shown alike.
	judge func(have, want *C) verdict
	set   func(have, want *C)
}

// verdict is what becomes of a setting that is not as wanted.
type verdict struct {
	action action
	why    string // refuse and warn: what it does and what can be done
}

type action int

const (
	keep   action = iota // good enough, or the operator's
	update               // change it; that loses nothing
	warn                 // leave it and say so: a change would lose something, or cannot be taken back
	refuse               // leave everything and say so: it cannot be changed, and the worker cannot live with it
)

type (
	streamField   = field[jetstream.StreamConfig]
	consumerField = field[jetstream.ConsumerConfig]
)

// at makes the field that at points to. With no judge it is updated whenever it differs.
func at[C any, T any](name string, at func(*C) *T, show func(T) string, judge func(have, want *C) verdict) field[C] {
	if judge == nil {
		judge = func(_, _ *C) verdict { return verdict{action: update} }
	}
	return field[C]{
		name:  name,
		show:  func(c *C) string { return show(*at(c)) },
		judge: judge,
		set:   func(have, want *C) { *at(have) = *at(want) },
	}
}

// never is the rule of a setting the server does not let anyone change.
func never[C any](why string) func(have, want *C) verdict {
	return func(_, _ *C) verdict { return verdict{refuse, why} }
}

// warns is the rule of a setting left alone and spoken of.
func warns[C any](why string) func(have, want *C) verdict {
	return func(_, _ *C) verdict { return verdict{warn, why} }
}

func showSize[T ~int | ~int32 | ~int64](n T) string {
	if n <= 0 {
		return "unlimited"
	}
	return strconv.FormatInt(int64(n), 10)
}

func showAge(d time.Duration) string {
	if d == 0 {
		return "unlimited"
	}
	return showDuration(d)
}

// showDuration is Duration.String without the trailing zeros: 168h, not 168h0m0s.
func showDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// showList sorts: the order of subjects means nothing.
func showList(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(slices.Values(list)), ", ")
}

func showStringer[T fmt.Stringer](v T) string { return strings.ToLower(v.String()) }

func showText(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
