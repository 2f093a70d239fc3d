package plugins_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Ensure that the page on constraints says of every keyword of JSON schema what becomes of it, in the right row, and has no
// other.
func TestConstraint_DocumentsKeywords(t *testing.T) {
	page, err := os.ReadFile("../docs/constraints.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]map[string]bool{}
	for _, row := range []string{"held to", "held to in part", "read over", "refused"} {
		m := regexp.MustCompile(`(?m)^\| ` + row + ` \| (.*) \|$`).FindSubmatch(page)
		if m == nil {
			t.Fatalf("no row %q", row)
		}
		rows[row] = map[string]bool{}
		for _, w := range regexp.MustCompile("`([^`]+)`").FindAllSubmatch(m[1], -1) {
			if word := string(w[1]); word != "x-" {
				rows[row][word] = true
			}
		}
	}
	table, err := os.ReadFile("constraint/schema_gather.c")
	if err != nil {
		t.Fatal(err)
	}
	known := regexp.MustCompile(`\{"([$A-Za-z]+)", K_([A-Z_]+), `).FindAllStringSubmatch(string(table), -1)
	if len(known) < 50 {
		t.Fatalf("only %d keywords found", len(known))
	}
	for _, k := range known {
		allowed := []string{"held to", "held to in part"}
		switch k[2] {
		case "NOTE":
			allowed = []string{"read over"}
		case "UNSUPPORTED":
			allowed = []string{"refused"}
		case "UNLESS_TRUE", "FORMAT", "ONE_OF", "MULTIPLE", "UNIQUE", "NAMES", "MIN_PROPERTIES", "MAX_PROPERTIES":
			allowed = []string{"held to in part"}
		}
		found := ""
		for _, row := range allowed {
			if rows[row][k[1]] {
				found = row
			}
		}
		if found == "" {
			t.Errorf("%s is not in a row of %s", k[1], strings.Join(allowed, " or "))
		}
	}
	for row, words := range rows {
		for word := range words {
			if !slices.ContainsFunc(known, func(k []string) bool { return k[1] == word }) {
				t.Errorf("the row %q has %s, which the guest does not know", row, word)
			}
		}
	}
}
