package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// folder is the log folder of a test's processes.
type folder struct {
	t   *testing.T
	dir string
}

func newFolder(t *testing.T) folder { return folder{t, t.TempDir()} }

func (d folder) path(process string) string { return filepath.Join(d.dir, process+".log") }

// write appends text to a process's log unchanged.
func (d folder) write(process, text string) {
	d.t.Helper()
	f, err := os.OpenFile(d.path(process), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// line returns a service's line written some seconds after 03:00.
func line(second int, level, message string) string {
	return fmt.Sprintf(`{"time":"2026-11-29T03:00:%02dZ","level":%q,"msg":%q}`+"\n", second, level, message)
}

func (d folder) reader(f Filter, processes ...string) *Reader {
	d.t.Helper()
	var sources []Source
	for _, p := range processes {
		sources = append(sources, Source{Process: p, Log: NewFile(d.path(p)), Local: time.UTC})
	}
	r := NewReader(f, sources...)
	d.t.Cleanup(r.Close)
	return r
}

// messages formats entries as "process: message" with the lines that belong to them.
func messages(entries []Entry) []string {
	out := []string{}
	for _, e := range entries {
		head := e.Message
		if e.Continued {
			head = "…"
		}
		out = append(out, e.Process+": "+strings.Join(append([]string{head}, e.More...), "|"))
	}
	return out
}

func (d folder) last(r *Reader, lines int, follow bool) []string {
	d.t.Helper()
	entries, _, err := r.Last(d.t.Context(), lines, follow)
	if err != nil {
		d.t.Fatal(err)
	}
	return messages(entries)
}

func (d folder) next(r *Reader) []string {
	d.t.Helper()
	entries, err := r.Next(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return messages(entries)
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Error(diff)
	}
}

// TestMerge: equal times keep the order of the processes, and a clock that was set back does not
// change the order of one process's lines.
func TestMerge(t *testing.T) {
	t.Parallel()
	d := newFolder(t)
	d.write("a", line(1, "INFO", "a1")+line(3, "INFO", "a3")+"more\n"+line(2, "INFO", "a2, set back")+line(5, "INFO", "a5"))
	d.write("b", line(1, "INFO", "b1")+line(2, "INFO", "b2")+line(3, "INFO", "b3")+line(4, "INFO", "b4"))
	want := []string{"a: a1", "b: b1", "b: b2", "a: a3|more", "a: a2, set back", "b: b3", "b: b4", "a: a5"}
	same(t, d.last(d.reader(Filter{}, "a", "b"), 100, false), want...)
	same(t, d.last(d.reader(Filter{}, "a", "b"), 9, false), want...)
	same(t, d.last(d.reader(Filter{}, "a", "b"), 3, false), want[5:]...)
	same(t, d.last(d.reader(Filter{}, "a", "b"), 5, false), want[4:]...) // an entry with all its lines, or no line of it
}

func TestFilters(t *testing.T) {
	t.Parallel()
	const order = "019b76da-4001-7000-8000-000000004001"
	d := newFolder(t)
	d.write("a", line(1, "INFO", "of "+strings.ToUpper(order))+line(2, "WARN", "other")+
		`{"time":"2026-11-29T03:00:03Z","level":"ERROR","msg":"c","orderId":"`+order+`"}`+"\n"+"its stack\n"+line(4, "INFO", "d")+"belongs to "+order+"\n"+line(5, "DEBUG", "e"))
	for name, c := range map[string]struct {
		f    Filter
		want []string
	}{
		"order":  {Filter{Order: order}, []string{"a: of " + strings.ToUpper(order), "a: c|its stack", "a: d|belongs to " + order}},
		"level":  {Filter{Level: Warn}, []string{"a: other", "a: c|its stack"}},
		"info":   {Filter{Level: Info}, []string{"a: of " + strings.ToUpper(order), "a: other", "a: c|its stack", "a: d|belongs to " + order}},
		"since":  {Filter{Since: at(t, "03:00:04")}, []string{"a: d|belongs to " + order, "a: e"}},
		"all":    {Filter{Order: order, Level: Error, Since: at(t, "03:00:02")}, []string{"a: c|its stack"}},
		"nobody": {Filter{Order: "none"}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			same(t, d.last(d.reader(c.f, "a"), 100, false), c.want...)
		})
	}
	same(t, d.last(d.reader(Filter{Order: order}, "a"), 2, false), "a: d|belongs to "+order) // the last two of the selected entries

	// The level of a skimmed line decides about later lines that belong to it.
	r := d.reader(Filter{Order: order, Level: Warn}, "b")
	d.write("b", line(1, "INFO", "x"))
	same(t, d.last(r, 9, true))
	d.write("b", "of "+order+"\n"+line(2, "WARN", "y")+"of "+order+"\n")
	same(t, d.next(r), "b: y|of "+order)
	const broken = `{"time":"2026-11-29T03:00:04Z","msg":}` // looks like a service's line
	d.write("c", line(3, "INFO", "z")+broken+"\n"+"of "+order+"\n")
	same(t, d.last(d.reader(Filter{Order: order}, "c"), 9, false), "c: "+broken+"|of "+order)
}

func TestFollow(t *testing.T) {
	t.Parallel()
	d := newFolder(t)
	d.write("a", line(1, "INFO", "a1"))
	d.write("b", line(2, "INFO", "b2")+`{"time":"2026-11-29T03:00:03Z","level":"INF`)
	r := d.reader(Filter{}, "a", "b", "later")
	entries, without, err := r.Last(t.Context(), 10, true)
	if err != nil || len(without) != 1 || without[0] != "later" {
		t.Fatal(without, err)
	}
	same(t, messages(entries), "a: a1", "b: b2") // and not the unfinished line
	same(t, d.next(r))
	d.write("b", `O","msg":"b3"}`+"\n")
	d.write("a", line(5, "INFO", "a5"))
	d.write("later", line(4, "INFO", "c4"))
	same(t, d.next(r), "b: b3", "later: c4", "a: a5")
	d.write("a", "goroutine 1\n")
	same(t, d.next(r), "a: …|goroutine 1")
}

// TestFollowKeepsWhatBelongsTogether: the lines of a panic come after its first line, and are left
// out with it.
func TestFollowKeepsWhatBelongsTogether(t *testing.T) {
	t.Parallel()
	d := newFolder(t)
	d.write("a", line(1, "INFO", "a1"))
	r := d.reader(Filter{Level: Error}, "a")
	same(t, d.last(r, 10, true))
	d.write("a", "of a1\n")
	same(t, d.next(r))
	d.write("a", "panic: boom\n")
	same(t, d.next(r), "a: panic: boom")
	d.write("a", "goroutine 1\n")
	same(t, d.next(r), "a: …|goroutine 1")
	d.write("a", line(3, "INFO", "a3"))
	d.write("a", "of a3\n")
	same(t, d.next(r))
}

// TestNoLines: with zero lines none is returned, and following begins after the existing ones.
func TestNoLines(t *testing.T) {
	t.Parallel()
	d := newFolder(t)
	d.write("a", line(1, "INFO", "a1")+line(2, "INFO", "a2")+`{"time":"2026-11-29T03:00:03Z","level":"INFO",`)
	for _, f := range []Filter{{}, {Level: Info}} {
		same(t, d.last(d.reader(f, "a"), 0, false))
		r := d.reader(f, "a")
		same(t, d.last(r, 0, true))
		same(t, d.next(r))
	}
	r := d.reader(Filter{}, "a")
	same(t, d.last(r, 0, true))
	d.write("a", `"msg":"a3"}`+"\n"+"of a3\n")
	same(t, d.next(r), "a: a3|of a3")
}

// TestAnOrderInAnyLetters: the typed id and the logged id may differ in case.
func TestAnOrderInAnyLetters(t *testing.T) {
	t.Parallel()
	d := newFolder(t)
	d.write("a", line(1, "INFO", "Key My-Key-17")+line(2, "INFO", "019B76da")+line(3, "INFO", "another"))
	for order, want := range map[string]string{"my-key-17": "a: Key My-Key-17", "MY-KEY-17": "a: Key My-Key-17", "My-Key-17": "a: Key My-Key-17", "mY-kEY": "a: Key My-Key-17", "019b76DA": "a: 019B76da"} {
		same(t, d.last(d.reader(Filter{Order: order}, "a"), 10, false), want)
	}
}

func TestALineThatIsNotEnded(t *testing.T) {
	t.Parallel()
	d := newFolder(t)
	d.write("a", line(1, "INFO", "a1")+`{"time":"2026-11-29T03:00:03Z","lev`)
	same(t, d.last(d.reader(Filter{}, "a"), 10, false), `a: a1|{"time":"2026-11-29T03:00:03Z","lev`)
	d.write("long", line(1, "INFO", "l1")+strings.Repeat("x", 3*maxLine))
	r := d.reader(Filter{}, "long")
	if got := d.last(r, 10, true); len(got) != 1 || len(got[0]) < 3*maxLine {
		t.Errorf("a line that is too long to wait for: %d entries", len(got))
	}
}

// TestPutAside: a start renames a large log and begins another.
func TestPutAside(t *testing.T) {
	t.Parallel()
	d := newFolder(t)
	d.write("a", line(1, "INFO", "a1")+line(2, "INFO", "a2"))
	r := d.reader(Filter{}, "a")
	same(t, d.last(r, 1, true), "a: a2")
	d.write("a", line(3, "INFO", "a3")+"panic: cut off")
	if err := os.Rename(d.path("a"), d.path("a")+".1"); err != nil {
		t.Fatal(err)
	}
	same(t, d.next(r), "a: a3") // the new file does not exist yet
	d.write("a", line(4, "INFO", "a4"))
	same(t, d.next(r), "a: panic: cut off", "a: a4")
	d.write("a", line(5, "INFO", "a5"))
	same(t, d.next(r), "a: a5")

	same(t, d.last(d.reader(Filter{}, "a"), 3, false), "a: panic: cut off", "a: a4", "a: a5") // from both
	same(t, d.last(d.reader(Filter{}, "a"), 2, false), "a: a4", "a: a5")
	same(t, d.last(d.reader(Filter{Since: at(t, "03:00:02")}, "a"), 9, false), "a: a2", "a: a3", "a: panic: cut off", "a: a4", "a: a5")
	if err := os.Truncate(d.path("a"), 0); err != nil {
		t.Fatal(err)
	}
	same(t, d.next(r))
	d.write("a", line(6, "INFO", "a6"))
	same(t, d.next(r), "a: a6")
}

// TestTheEndOfALongFile: the search runs backwards over the borders of blocks.
func TestTheEndOfALongFile(t *testing.T) {
	t.Parallel()
	d := newFolder(t)
	var all []string
	var text strings.Builder
	for i := range 5000 {
		all = append(all, fmt.Sprintf("a: n%d", i))
		text.WriteString(line(i%60, "INFO", fmt.Sprintf("n%d", i)))
	}
	d.write("a", text.String())
	for _, n := range []int{1, 2, 999, 1000, 4999, 5000, 5001} {
		same(t, d.last(d.reader(Filter{}, "a"), n, false), all[max(0, len(all)-n):]...)
	}
}

// TestStream: a command writes the log of a container, and continues to write.
func TestStream(t *testing.T) {
	t.Parallel()
	more, written, ended := make(chan string), make(chan struct{}), make(chan struct{})
	log := NewStream(true, func(ctx context.Context, out *Buffer, lines int, follow bool) error {
		defer close(ended)
		if lines != 7 || !follow {
			t.Errorf("asked for %d lines, follow %t", lines, follow)
		}
		fmt.Fprint(out, line(1, "INFO", "a1"), `{"time":`)
		for {
			select {
			case text := <-more:
				fmt.Fprint(out, text)
				written <- struct{}{}
			case <-ctx.Done():
				return nil
			}
		}
	})
	r := NewReader(Filter{}, Source{Process: "a", Log: log})
	d := folder{t: t}
	same(t, d.last(r, 7, true), "a: a1")
	more <- `"2026-11-29T03:00:02Z","level":"INFO","msg":"a2"}` + "\n"
	<-written
	same(t, d.next(r), "a: a2")
	r.Close()
	<-ended

	gone := NewStream(false, func(context.Context, *Buffer, int, bool) error { return fmt.Errorf("log of a: %w", os.ErrNotExist) })
	r = NewReader(Filter{}, Source{Process: "a", Log: gone}, Source{Process: "b", Log: NewStream(false, func(_ context.Context, out *Buffer, _ int, _ bool) error {
		fmt.Fprint(out, line(1, "INFO", "b1"), "cut off")
		return nil
	})})
	entries, without, err := r.Last(t.Context(), 7, false)
	if err != nil || len(without) != 1 {
		t.Errorf("%v %v", without, err)
	}
	same(t, messages(entries), "b: b1|cut off")
}
