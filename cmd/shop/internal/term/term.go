// Package term writes text for people to a terminal, a file or a pipe.
//
// # What it guarantees
//
// Text written through an [Out] cannot control the terminal: control and formatting characters
// become a middle dot, whatever record, header or error message contained them. Tables fit the
// width. Colour is used only on a terminal, and not if NO_COLOR is set (https://no-color.org) or
// TERM is dumb.
//
// # What it does not
//
// It does not measure characters that take two columns or none.
package term

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// MaxWidth is the maximum width of a table in columns, on a wider terminal and in a file.
const MaxWidth = 100

// minWidth is the minimum width of a table. A narrower terminal wraps lines by itself.
const minWidth = 40

// Out is one output, such as standard output. It is safe for concurrent use.
type Out struct {
	w      io.Writer
	width  int
	colour bool
	live   bool // a line of progress may be rewritten
	screen *screen
	rest   []byte // the first bytes of an incomplete character
	broken chan struct{}

	terminal bool
}

// screen is the terminal that several outputs may share, with its line of progress.
type screen struct {
	mu   sync.Mutex
	on   *Out   // the output that has the line
	line string // "" if none is shown
}

// New returns the two standard outputs of a program. getenv is [os.Getenv]; tests use another
// function.
func New(stdout, stderr io.Writer, getenv func(string) string) (out, errOut *Out) {
	s := &screen{}
	return newOut(stdout, getenv, s), newOut(stderr, getenv, s)
}

func newOut(w io.Writer, getenv func(string) string, s *screen) *Out {
	o := &Out{w: w, width: MaxWidth, screen: s, broken: make(chan struct{})}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return o
	}
	o.terminal = true
	if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
		o.width = max(min(columns, MaxWidth), minWidth)
	}
	if getenv("TERM") != "dumb" {
		o.live, o.colour = true, getenv("NO_COLOR") == ""
		if s.on == nil {
			s.on = o
		}
	}
	return o
}

// Write writes p with every unprintable character replaced, except line breaks and tabs.
func (o *Out) Write(p []byte) (int, error) {
	o.screen.mu.Lock()
	defer o.screen.mu.Unlock()
	text, rest := o.guard(append(o.rest, p...))
	o.rest = rest
	if err := o.screen.around(func() error { _, err := io.WriteString(o.w, text); return err }, strings.HasSuffix(text, "\n")); err != nil {
		o.failed(err)
		return 0, err
	}
	return len(p), nil
}

// Broken returns a channel. It is closed when a write fails because the reader of the pipe or the
// terminal is gone.
func (o *Out) Broken() <-chan struct{} { return o.broken }

func (o *Out) failed(err error) {
	// For a file, EIO is a disk error and worth a message.
	if !errors.Is(err, syscall.EPIPE) && !(o.terminal && errors.Is(err, syscall.EIO)) {
		return
	}
	select {
	case <-o.broken:
	default:
		close(o.broken)
	}
}

// guard returns the text that may be written, and the bytes of an incomplete character.
func (o *Out) guard(p []byte) (text string, rest []byte) {
	var b strings.Builder
	for len(p) > 0 {
		if o.colour {
			if code := styleAt(p); code != "" {
				b.WriteString(code)
				p = p[len(code):]
				continue
			}
		}
		if !utf8.FullRune(p) {
			return b.String(), append([]byte{}, p...)
		}
		r, size := utf8.DecodeRune(p)
		if r == utf8.RuneError && size == 1 || !printable(r) {
			r = replacement
		}
		b.WriteRune(r)
		p = p[size:]
	}
	return b.String(), nil
}

const replacement = '·'

func printable(r rune) bool { return r == '\n' || r == '\t' || unicode.IsPrint(r) }

// Clean replaces control and formatting characters except line breaks and tabs.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if printable(r) {
			return r
		}
		return replacement
	}, s)
}

// Width returns how many columns a table on out may have.
func Width(out io.Writer) int {
	if o, ok := out.(*Out); ok {
		return o.width
	}
	return MaxWidth
}
