package plugin

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"forge/abi"
)

// Error is a call of a guest that failed.
type Error struct {
	Plugin, Call string
	Why          string     // one sentence without a full stop
	Status       abi.Status // what the guest returned, if it did
	Trapped      bool       // it did not return, or returned what the ABI forbids: its instance is gone
	Fuel         int64      // units used, or firstTank
}

// firstTank is the Fuel of a start function that ended before anybody could look: fewer than startTank units.
const firstTank = -1

const whyUnreachable = "gave up (unreachable: an assertion or a panic in the plugin)"

// Error gives the sentence for the user.
func (e *Error) Error() string {
	text := "plugin " + e.Plugin + ": " + e.Call + " " + e.Why
	switch {
	case e.Trapped && e.Fuel == firstTank:
		text += " (fuel used: under " + units(startTank) + ")"
	case e.Trapped:
		text += " (fuel used: " + units(e.Fuel) + ")"
	}
	return text
}

// ErrQuarantined is wrapped by the errors of a plugin that had its strikes.
var ErrQuarantined = errors.New("plugin is quarantined")

// trapWhy turns wazero's error, which has a stack trace behind the first line, into a reason.
func trapWhy(err error) string {
	var exit exitError
	if errors.As(err, &exit) {
		return exit.Error()
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	if _, why, ok := strings.Cut(line, "wasm error: "); ok { // behind the start function's name, if that is what trapped
		line = why
	}
	switch line {
	case "unreachable":
		return whyUnreachable
	case "out of bounds memory access":
		return "read or wrote outside its memory"
	case "stack overflow":
		return "nested its calls too deep"
	}
	return "trapped: " + line
}

// units writes a fuel amount with its thousands apart: 40,000,000 units.
func units(n int64) string {
	s := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s + " units"
}

// sentence makes a guest's bytes fit for a terminal and a log line: valid UTF-8, no control characters, bounded.
func sentence(b []byte, limit int) string {
	if len(b) > limit {
		b = b[:limit]
		for len(b) > 0 && !utf8.RuneStart(b[len(b)-1]) {
			b = b[:len(b)-1]
		}
		if len(b) > 0 && b[len(b)-1] >= utf8.RuneSelf {
			b = b[:len(b)-1]
		}
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return ' ' // the last two ranges end lines and turn the direction of writing
		case r == utf8.RuneError:
			return '?'
		}
		return r
	}, string(b)))
}

// suggest names the candidate nearest to a word that is none of them, as a clause to append, or nothing.
func suggest(word string, candidates []string) string {
	best, dist := "", len(word)/3+2
	for _, c := range candidates {
		if d := distance(word, c); d < dist {
			best, dist = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is Levenshtein's: insertions, deletions and replacements of bytes that turn a into b.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
