package term

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func none(string) string { return "" }

// terminal returns an output with colours and a progress line, as on a terminal.
func terminal(w *bytes.Buffer, width int) *Out {
	s := &screen{}
	s.on = &Out{w: w, width: width, colour: true, live: true, screen: s, broken: make(chan struct{})}
	return s.on
}

func TestWriteLeavesNothingThatSteersATerminal(t *testing.T) {
	for name, text := range map[string]string{
		"escape":            "a\x1b[2Jb",
		"title":             "a\x1b]0;owned\x07b",
		"C1 control":        "a\u009b2Jb",
		"carriage return":   "paid 1\rpaid 9",
		"backspace":         "a\b\bb",
		"bidi override":     "a\u202eb",
		"zero width":        "a\u200bb",
		"delete":            "a\x7fb",
		"invalid UTF-8":     "a\xff\xfeb",
		"nul":               "a\x00b",
		"colours of others": "a\x1b[31mb",
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			out, _ := New(&b, &b, none)
			n, err := out.Write([]byte(text))
			if err != nil || n != len(text) {
				t.Fatalf("Write returned %d, %v", n, err)
			}
			for _, r := range b.String() {
				if !unicode.IsPrint(r) {
					t.Errorf("%q came out as %q", text, b.String())
				}
			}
			if !strings.HasPrefix(b.String(), "a") && !strings.HasPrefix(b.String(), "paid") {
				t.Errorf("%q came out as %q", text, b.String())
			}
		})
	}
}

// A chunk of a file may end inside a character.
func TestWriteKeepsCharactersThatComeInTwoChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		var whole, parts bytes.Buffer
		one, _ := New(&whole, &whole, none)
		many, _ := New(&parts, &parts, none)
		one.Write([]byte(text)) //nolint:errcheck // a buffer takes everything
		for b := []byte(text); len(b) > 0; {
			n := rapid.IntRange(1, len(b)).Draw(t, "chunk")
			many.Write(b[:n]) //nolint:errcheck // a buffer takes everything
			b = b[n:]
		}
		if whole.String() != parts.String() {
			t.Fatalf("%q in chunks came out as %q, not as %q", text, parts.String(), whole.String())
		}
	})
}

func TestPaintWhereThereAreColours(t *testing.T) {
	var b bytes.Buffer
	if got := Paint(terminal(&b, 80), Red, "BREACH"); got != "\x1b[31mBREACH\x1b[0m" {
		t.Errorf("on a terminal: %q", got)
	}
	out, _ := New(&b, &b, none)
	if got := Paint(out, Red, "BREACH"); got != "BREACH" {
		t.Errorf("in a file: %q", got)
	}
	if got := Paint(&b, Red, "BREACH"); got != "BREACH" {
		t.Errorf("in another writer: %q", got)
	}
}

func TestPaintedTextReachesATerminal(t *testing.T) {
	var b bytes.Buffer
	out := terminal(&b, 80)
	fmt.Fprintf(out, "%s \x1b[2J\n", Paint(out, Green, "ok"))
	if want := "\x1b[32mok\x1b[0m ·[2J\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestTableFitsAndLosesNothing(t *testing.T) {
	word := rapid.StringMatching(`[a-zA-Zäöü0-9/.:_]{1,60}`)
	cell := rapid.Map(rapid.SliceOfN(word, 0, 12), func(words []string) string { return strings.Join(words, " ") })
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(1, 7).Draw(t, "columns")
		width := rapid.IntRange(minWidth, MaxWidth).Draw(t, "width")
		// The names contain no letters of the cells, because names of columns below a row are
		// repeated.
		names := []string{"{", "}", "~~", "^", "|", "%%%", "$"}[:columns]
		rows := rapid.SliceOfN(rapid.SliceOfN(cell, columns, columns), 0, 4).Draw(t, "rows")
		var b bytes.Buffer
		out := &Out{w: &b, width: width, screen: &screen{}}
		if err := Columns(out, names, rows); err != nil {
			t.Fatal(err)
		}
		want := map[rune]int{}
		for _, row := range append([][]string{names}, rows...) {
			for _, r := range strings.Join(row, "") {
				want[r]++
			}
		}
		got := map[rune]int{}
		for l := range strings.Lines(b.String()) {
			l = strings.TrimSuffix(l, "\n")
			if n := utf8.RuneCountInString(l); n > width {
				t.Fatalf("a line of %d columns where %d are allowed:\n%s", n, width, b.String())
			}
			if l != strings.TrimRight(l, " ") {
				t.Fatalf("spaces at the end of %q", l)
			}
			for _, r := range l {
				got[r]++
			}
		}
		for _, r := range " ,{}~^|%$" {
			delete(want, r)
			delete(got, r)
		}
		if fmt.Sprint(want) != fmt.Sprint(got) {
			t.Fatalf("characters are lost or added:\n%v\n%v\n%s", want, got, b.String())
		}
	})
}

func TestTableThatFitsIsInColumns(t *testing.T) {
	var b bytes.Buffer
	if err := Table(&b, "SERVICE STATE WHY", [][]string{{"payment", "ready", ""}, {"order", "not ready", "database: away"}}); err != nil {
		t.Fatal(err)
	}
	want := "SERVICE  STATE      WHY\npayment  ready\norder    not ready  database: away\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestTableWrapsTheLongColumn(t *testing.T) {
	var b bytes.Buffer
	out := &Out{w: &b, width: 40, screen: &screen{}}
	if err := Table(out, "FAULT EXPECTED", [][]string{{"zombies", "thawed, the old process has no effect"}}); err != nil {
		t.Fatal(err)
	}
	want := "FAULT    EXPECTED\nzombies  thawed, the old process has no\n         effect\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestTableMovesLastColumnsBelowTheRow(t *testing.T) {
	var b bytes.Buffer
	out := &Out{w: &b, width: 60, screen: &screen{}}
	id := "0199aaaa-0000-7000-8000-000000000001"
	if err := Table(out, "ORDER STATUS WHY", [][]string{{id, "CANCELLING", "payment: refund failed: the gateway says no such charge exists"}}); err != nil {
		t.Fatal(err)
	}
	want := "ORDER                                 STATUS\n" + id + "  CANCELLING\n" +
		"    why payment: refund failed: the gateway says no such\n    charge exists\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestPaintedCellsAreAsWideAsTheirText(t *testing.T) {
	var b bytes.Buffer
	out := terminal(&b, 80)
	if err := Table(out, "A B", [][]string{{State(out, "ready"), "x"}, {"y", "z"}}); err != nil {
		t.Fatal(err)
	}
	want := "\x1b[1mA\x1b[0m      \x1b[1mB\x1b[0m\n\x1b[32mready\x1b[0m  x\ny      z\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestProgressInAFileIsALineNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		_, out := New(&b, &b, none)
		p := Start(out, "waiting for rest", 30*time.Second)
		<-time.After(6 * time.Second)
		p.Note("reading topics")
		p.Of(2, 8)
		<-time.After(15 * time.Second)
		p.Stop()
		p.Stop()
		want := "   5s  waiting for rest, at most 25s more\n  20s  reading topics, 2 of 8, about 1m0s left\n"
		if b.String() != want {
			t.Errorf("got\n%s\nwant\n%s", b.String(), want)
		}
	})
}

func TestProgressOfUnequalParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		_, out := New(&b, &b, none)
		p := Start(out, "playing", 0)
		p.Left(25 * time.Second)
		<-time.After(21 * time.Second)
		p.Left(3 * time.Second)
		<-time.After(15 * time.Second)
		p.Stop()
		want := "   5s  playing, about 20s left\n  20s  playing, about 5s left\n  35s  playing, about 1s left\n"
		if b.String() != want {
			t.Errorf("got\n%s\nwant\n%s", b.String(), want)
		}
	})
}

func TestProgressOfShortWorkIsNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		for _, out := range []*Out{terminal(&b, 80), newOut(&b, none, &screen{})} {
			p := Start(out, "reading", 0)
			<-time.After(4 * time.Second)
			p.Stop()
		}
		if b.Len() > 0 {
			t.Errorf("got %q", b.String())
		}
	})
}

func TestProgressOnATerminalIsOneLineBelowWhatIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		out := terminal(&b, 80)
		p := Start(out, "reading", 0)
		<-time.After(quietFor + redrawEvery/2)
		fmt.Fprintln(out, "found one")
		p.Stop()
		shown := "   5s  reading"
		if want := shown + "\r\x1b[K" + "found one\n" + shown + "\r\x1b[K"; b.String() != want {
			t.Errorf("got %q, want %q", b.String(), want)
		}
	})
}

// A reader that closes the output early, as head does, ends the command and not only its output.
func TestAnOutputThatIsNotReadIsBroken(t *testing.T) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	out, _ := New(w, w, none)
	fmt.Fprintln(out, "read")
	select {
	case <-out.Broken():
		t.Error("broken while it is read")
	default:
	}
	r.Close()
	fmt.Fprintln(out, "not read")
	fmt.Fprintln(out, "nor this")
	<-out.Broken()
}
