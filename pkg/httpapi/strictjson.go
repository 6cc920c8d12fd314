package httpapi

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"eventshop.example/pkg/errs"
)

// maxDepth is how deep arrays and objects may nest. The deepest request of this system has four
// levels.
const maxDepth = 64

// strict checks that data is one JSON text (RFC 8259) with the limits of I-JSON (RFC 7493) that
// encoding/json does not enforce: valid UTF-8, no half surrogate pairs, no duplicate names. It also
// refuses NUL, which PostgreSQL's text cannot store, and more than maxDepth levels. The error is
// errs.Invalid and names the field.
func strict(data []byte) error {
	s := scanner{data: data, target: -1}
	return s.document()
}

// fieldAt returns the path of the value that ends at or contains the byte before offset, for data
// that strict accepts. It adds the field to encoding/json's errors, which contain an offset but no
// array index.
func fieldAt(data []byte, offset int64) string {
	s := scanner{data: data, target: int(offset)}
	if s.document() == nil && s.found != nil {
		return *s.found
	}
	return ""
}

// scanner is a recursive descent over data.
type scanner struct {
	data   []byte
	pos    int
	depth  int
	path   []string // "items", "[0]", "quantity"
	target int      // the offset that fieldAt looks for; -1 for none
	found  *string
}

func (s *scanner) document() error {
	s.space()
	if err := s.value(); err != nil {
		return err
	}
	s.space()
	if s.pos < len(s.data) {
		return errs.Field("", "there is more data after the JSON value, at byte %d", s.pos)
	}
	return nil
}

func (s *scanner) value() error {
	begin := s.pos
	var err error
	switch c := s.peek(); {
	case c == '{' || c == '[':
		if s.depth++; s.depth > maxDepth {
			return s.fail("is nested deeper than %d levels", maxDepth)
		}
		if c == '{' {
			err = s.object()
		} else {
			err = s.array()
		}
		s.depth--
	case c == '"':
		_, err = s.text()
	case c == '-' || (c >= '0' && c <= '9'):
		err = s.number()
	default:
		err = s.literal()
	}
	// The scan leaves the innermost value first; the outer values do not replace it.
	if err == nil && s.target > begin && s.target <= s.pos && s.found == nil {
		field := s.field()
		s.found = &field
	}
	return err
}

func (s *scanner) object() error {
	s.pos++
	seen := map[string]bool{}
	for s.space(); s.peek() != '}'; s.space() {
		if len(seen) > 0 {
			if s.peek() != ',' {
				return s.unexpected("',' or '}'")
			}
			s.pos++
			s.space()
		}
		if s.peek() != '"' {
			return s.unexpected("the name of a field")
		}
		name, err := s.text()
		if err != nil {
			return err
		}
		s.path = append(s.path, name)
		if seen[name] {
			return s.fail("appears more than once")
		}
		seen[name] = true
		s.space()
		if s.peek() != ':' {
			return s.unexpected("':'")
		}
		s.pos++
		s.space()
		if err := s.value(); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
	}
	s.pos++
	return nil
}

func (s *scanner) array() error {
	s.pos++
	for i := 0; ; i++ {
		s.space()
		if s.peek() == ']' {
			break
		}
		if i > 0 {
			if s.peek() != ',' {
				return s.unexpected("',' or ']'")
			}
			s.pos++
			s.space()
		}
		s.path = append(s.path, "["+strconv.Itoa(i)+"]")
		if err := s.value(); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
	}
	s.pos++
	return nil
}

// text reads a string and returns its value.
func (s *scanner) text() (string, error) {
	s.pos++
	var b strings.Builder
	for {
		if s.pos >= len(s.data) {
			return "", s.unexpected("the end of the string")
		}
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return b.String(), nil
		case c == 0:
			return "", s.fail("contains the NUL character")
		case c < ' ':
			return "", s.fail("contains the control character %#02x; write it as an escape", c)
		case c == '\\':
			if err := s.escape(&b); err != nil {
				return "", err
			}
		case c < utf8.RuneSelf:
			b.WriteByte(c)
			s.pos++
		default:
			r, size := utf8.DecodeRune(s.data[s.pos:])
			if r == utf8.RuneError && size == 1 {
				return "", s.fail("is not valid UTF-8 at byte %d", s.pos)
			}
			b.WriteRune(r)
			s.pos += size
		}
	}
}

func (s *scanner) escape(b *strings.Builder) error {
	if s.pos+1 >= len(s.data) {
		return s.unexpected("an escape")
	}
	c := s.data[s.pos+1]
	if c == 'u' {
		r, ok := s.hex4(s.pos)
		if !ok {
			return s.unexpected("four hexadecimal digits after \\u")
		}
		s.pos += 6
		if r == 0 {
			return s.fail("contains the NUL character")
		}
		if utf16.IsSurrogate(r) {
			low, ok := s.hex4(s.pos)
			if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
				return s.fail("contains half a surrogate pair")
			}
			s.pos += 6
		}
		b.WriteRune(r)
		return nil
	}
	const from, to = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	i := strings.IndexByte(from, c)
	if i < 0 {
		return s.unexpected("an escape")
	}
	b.WriteByte(to[i])
	s.pos += 2
	return nil
}

// hex4 reads the code unit of an escape \uXXXX that begins at pos.
func (s *scanner) hex4(pos int) (rune, bool) {
	if pos+6 > len(s.data) || s.data[pos] != '\\' || s.data[pos+1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s.data[pos+2:pos+6]), 16, 32)
	return rune(n), err == nil
}

func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	switch c := s.peek(); {
	case c == '0':
		s.pos++
	case s.digits() == 0:
		return s.unexpected("a digit")
	}
	if s.peek() == '.' {
		s.pos++
		if s.digits() == 0 {
			return s.unexpected("a digit")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if s.digits() == 0 {
			return s.unexpected("a digit")
		}
	}
	return nil
}

func (s *scanner) digits() int {
	begin := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos - begin
}

func (s *scanner) literal() error {
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(string(s.data[s.pos:min(len(s.data), s.pos+len(word))]), word) {
			s.pos += len(word)
			return nil
		}
	}
	return s.unexpected("a JSON value")
}

// space skips the whitespace of RFC 8259.
func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end; a NUL is never valid.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) unexpected(wanted string) error {
	if s.pos >= len(s.data) {
		return s.fail("is not valid JSON: it ends where %s should be", wanted)
	}
	what := fmt.Sprintf("%q", rune(s.data[s.pos]))
	if s.data[s.pos] >= utf8.RuneSelf {
		what = fmt.Sprintf("the byte %#x", s.data[s.pos])
	}
	return s.fail("is not valid JSON: %s at byte %d where %s should be", what, s.pos, wanted)
}

func (s *scanner) fail(format string, args ...any) error {
	return errs.Field(s.field(), format, args...)
}

// field joins the path to "items[0].quantity".
func (s *scanner) field() string { return joinPath(s.path) }

// maxName bounds how much of the caller's names an error repeats.
const maxName = 100

func joinPath(path []string) string {
	var b strings.Builder
	for _, segment := range path {
		if b.Len() > 0 && segment[:min(1, len(segment))] != "[" {
			b.WriteByte('.')
		}
		if len(segment) > maxName {
			segment = strings.ToValidUTF8(segment[:maxName], "") + "…"
		}
		b.WriteString(segment)
	}
	return b.String()
}
