package topology

import (
	"slices"
	"strings"
)

// merge adds the wanted subjects to those a stream has. One that is covered by a
// pattern already there is not added, and a pattern wider than what is there takes
// its place; so nothing that was taken in before is refused afterwards.
func merge(have, want []string) []string {
	got := slices.Clone(have)
	for _, w := range want {
		if slices.ContainsFunc(got, func(h string) bool { return Covers(h, w) }) {
			continue
		}
		got = slices.DeleteFunc(got, func(h string) bool { return Covers(w, h) })
		got = append(got, w)
	}
	return got
}

// without lists the subjects of have that none of want covers.
func without(have, want []string) []string {
	return slices.DeleteFunc(slices.Clone(have), func(h string) bool {
		return slices.ContainsFunc(want, func(w string) bool { return Covers(w, h) })
	})
}

func wildcard(subject string) bool {
	return slices.ContainsFunc(strings.Split(subject, "."), func(t string) bool { return t == "*" || t == ">" })
}

// Covers says whether every subject that fits the pattern b fits a too.
func Covers(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i, t := range as {
		switch {
		case t == ">":
			return len(bs) > i
		case i >= len(bs) || bs[i] == ">":
			return false
		case t != "*" && t != bs[i]:
			return false
		}
	}
	return len(as) == len(bs)
}
