package plugin

import "strings"

// lines says where the tables and keys of a TOML text stand, which the library tells of parse errors alone. It is made
// from a text that the library took, so it need not judge, only skip strings, comments and nested values.
type lines struct {
	plugins []int          // of each [[plugin]]
	files   []int          // of each one's file, 0: none
	digests []int          // of each one's sha256, 0: none
	keys    map[string]int // first line of each dotted key or table, array indices left out
}

// plugin is the line of the i-th [[plugin]].
func (l *lines) plugin(i int) int {
	if i < len(l.plugins) {
		return l.plugins[i]
	}
	return l.of([]string{"plugin"}) // written as an array of inline tables
}

// of is the line of a key, or of the nearest one above it that the text names.
func (l *lines) of(key []string) int {
	for n := len(key); n > 0; n-- {
		if line, ok := l.keys[strings.Join(key[:n], "\x00")]; ok {
			return line
		}
	}
	return 1
}

func findLines(text string) *lines {
	l := &lines{keys: map[string]int{}}
	s := scanner{text: text, line: 1}
	var table []string
	for !s.end() {
		s.space()
		switch {
		case s.end():
		case s.text[s.pos] == '\n':
			s.pos++
			s.line++
		case s.text[s.pos] == '#':
			s.comment()
		case s.text[s.pos] == '[':
			line := s.line
			array := strings.HasPrefix(s.text[s.pos:], "[[")
			for !s.end() && s.text[s.pos] == '[' {
				s.pos++
			}
			table = s.key()
			if array && len(table) == 1 && table[0] == "plugin" {
				l.plugins, l.files, l.digests = append(l.plugins, line), append(l.files, 0), append(l.digests, 0)
			}
			l.note(table, line)
			s.rest()
		default:
			line := s.line
			key := append(table[:len(table):len(table)], s.key()...)
			l.note(key, line)
			if n := len(l.plugins); n > 0 && len(key) == 2 && key[0] == "plugin" {
				switch key[1] {
				case "file":
					l.files[n-1] = line
				case "sha256":
					l.digests[n-1] = line
				}
			}
			s.rest()
		}
	}
	return l
}

func (l *lines) note(key []string, line int) {
	k := strings.Join(key, "\x00")
	if _, ok := l.keys[k]; !ok {
		l.keys[k] = line
	}
}

type scanner struct {
	text string
	pos  int
	line int
}

func (s *scanner) end() bool { return s.pos >= len(s.text) }

func (s *scanner) space() {
	for !s.end() && strings.IndexByte(" \t\r", s.text[s.pos]) >= 0 {
		s.pos++
	}
}

func (s *scanner) comment() {
	for !s.end() && s.text[s.pos] != '\n' {
		s.pos++
	}
}

// key reads a dotted key and stops at what ends it.
func (s *scanner) key() []string {
	var parts []string
	for {
		s.space()
		start := s.pos
		if !s.end() && (s.text[s.pos] == '"' || s.text[s.pos] == '\'') {
			s.str()
			parts = append(parts, strings.Trim(s.text[start:s.pos], "\"'"))
		} else {
			for !s.end() && strings.IndexByte(" \t\r\n.=]#", s.text[s.pos]) < 0 {
				s.pos++
			}
			parts = append(parts, s.text[start:s.pos])
		}
		s.space()
		if s.end() || s.text[s.pos] != '.' {
			return parts
		}
		s.pos++
	}
}

// rest skips to the end of the line on which the value begun here ends.
func (s *scanner) rest() {
	depth := 0
	for !s.end() {
		switch c := s.text[s.pos]; c {
		case '"', '\'':
			s.str()
			continue
		case '#':
			s.comment()
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '\n':
			if depth <= 0 {
				return
			}
			s.line++
		}
		s.pos++
	}
}

// str skips a string: basic or literal, on one line or several.
func (s *scanner) str() {
	q := s.text[s.pos]
	long := strings.HasPrefix(s.text[s.pos:], strings.Repeat(string(q), 3))
	n := 1
	if long {
		n = 3
	}
	s.pos += n
	for !s.end() {
		switch c := s.text[s.pos]; {
		case c == '\\' && q == '"':
			s.pos++
			if s.end() {
				return
			}
			if s.text[s.pos] == '\n' {
				s.line++
			}
		case c == '\n':
			if !long {
				return
			}
			s.line++
		case c == q && (!long || strings.HasPrefix(s.text[s.pos:], strings.Repeat(string(q), 3))):
			s.pos += n
			for long && !s.end() && s.text[s.pos] == q { // up to two quotes may stand before the closing three
				s.pos++
			}
			return
		}
		s.pos++
	}
}
