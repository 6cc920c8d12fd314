package report

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// lineEvery is the interval of progress on an output that cannot rewrite its line.
const lineEvery = 10 * time.Second

// Progress shows what a run does at the moment. On a terminal it rewrites one line; elsewhere it
// writes a line for each step, and further ones every ten seconds. It is safe for concurrent use.
type Progress struct {
	out   io.Writer
	tty   bool
	began time.Time

	mu   sync.Mutex
	step string
	last time.Time
}

// NewProgress returns a progress on the file.
func NewProgress(out *os.File) *Progress {
	info, err := out.Stat()
	tty := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	return &Progress{out: out, tty: tty, began: time.Now()}
}

// Step begins a step.
func (p *Progress) Step(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step = fmt.Sprintf(format, args...)
	p.show(p.step)
}

// Note shows how far the step is.
func (p *Progress) Note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.tty && time.Since(p.last) < lineEvery {
		return
	}
	p.show(p.step + ": " + fmt.Sprintf(format, args...))
}

// Clear removes the line from a terminal.
func (p *Progress) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tty {
		fmt.Fprint(p.out, "\r\033[K")
	}
}

// show writes the line. The caller has locked p.mu.
func (p *Progress) show(line string) {
	p.last = time.Now()
	line = fmt.Sprintf("%5.0fs  %s", time.Since(p.began).Seconds(), line)
	if p.tty {
		fmt.Fprintf(p.out, "\r\033[K%s", line)
		return
	}
	fmt.Fprintln(p.out, line)
}
