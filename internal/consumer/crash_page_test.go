package consumer_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

const crashPage = "../../docs/crash-points.md"

// row is what the page of crash points says of a step.
type row struct {
	changes []string // "+result"
}

var (
	stepNames = regexp.MustCompile("`([^`]+)`")
	promises  = regexp.MustCompile(`\([1-6](, [1-6])*\)$`)
)

// readCrashPage reads the rows of the page's table, by step. Each names at its end the
// promises that cover a cut.
func readCrashPage(t *testing.T) map[string]row {
	t.Helper()
	text, err := os.ReadFile(crashPage)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]row{}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		if len(cells) != 4 {
			t.Fatalf("%s: a row has %d cells, want 4: %s", crashPage, len(cells), line)
		}
		for i, where := range []string{"before", "after"} {
			if !promises.MatchString(strings.TrimSpace(cells[2+i])) {
				t.Errorf("%s: the row of %s does not end in the promises that cover a cut %s it, as in (1, 4)", crashPage, strings.TrimSpace(cells[0]), where)
			}
		}
		for _, m := range stepNames.FindAllStringSubmatch(cells[0], -1) {
			if _, twice := rows[m[1]]; twice {
				t.Errorf("%s: step %q has two rows", crashPage, m[1])
			}
			var changes []string
			for _, m := range stepNames.FindAllStringSubmatch(cells[1], -1) {
				changes = append(changes, m[1])
			}
			rows[m[1]] = row{changes}
		}
	}
	if len(rows) == 0 {
		t.Fatalf("%s has no table of steps", crashPage)
	}
	return rows
}
