//go:build race

package consumer_test

// underRace tells that every step takes many times as long.
const underRace = true
