package term

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// quietFor is how long work may take before its progress is shown.
	quietFor = 5 * time.Second
	// lineEvery is the interval after that on an output that cannot rewrite lines.
	lineEvery = 15 * time.Second
	// redrawEvery is the interval of updates on a terminal.
	redrawEvery = 500 * time.Millisecond
)

// Progress shows the progress of work that takes longer than five seconds, with the remaining time
// if it is known. On a terminal it rewrites one line; elsewhere it writes a line every fifteen
// seconds. A nil Progress shows nothing.
type Progress struct {
	out   *Out
	began time.Time
	limit time.Duration

	mu          sync.Mutex
	note        string
	done, total int
	ends        time.Duration // the approximate end of the work, counted from began; 0 is unknown

	stop chan struct{}
	over sync.WaitGroup
}

// Start begins to show progress on out. limit is the maximum duration of the work; 0 is unknown.
// The caller calls Stop at the end.
func Start(out io.Writer, note string, limit time.Duration) *Progress {
	o, ok := out.(*Out)
	if !ok {
		return nil
	}
	p := &Progress{out: o, began: time.Now(), limit: limit, note: note, stop: make(chan struct{})}
	p.over.Go(p.show)
	return p
}

// Note sets what is being done or waited for.
func (p *Progress) Note(format string, args ...any) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note = fmt.Sprintf(format, args...)
}

// Of sets how many of total equal parts are done.
func (p *Progress) Of(done, total int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.total = done, total
}

// Left sets the approximate remaining time.
func (p *Progress) Left(d time.Duration) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends = time.Since(p.began) + d
}

// Stop removes the line. It may be called more than once.
func (p *Progress) Stop() {
	if p == nil {
		return
	}
	p.mu.Lock()
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.mu.Unlock()
	p.over.Wait()
}

func (p *Progress) show() {
	every := lineEvery
	if p.out.live {
		every = redrawEvery
		defer p.out.screen.set("")
	}
	next := time.NewTimer(quietFor)
	defer next.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-next.C:
		}
		if text := p.text(time.Since(p.began)); p.out.live {
			p.out.screen.set(text)
		} else {
			fmt.Fprintln(p.out, text)
		}
		next.Reset(every)
	}
}

// text returns a line such as "  12s  reading topics, 3 of 8, about 20s left".
func (p *Progress) text(took time.Duration) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := fmt.Sprintf("%5s  %s", seconds(took), Clean(p.note))
	if p.total > 0 {
		text += fmt.Sprintf(", %d of %d", p.done, p.total)
	}
	switch {
	case p.ends > 0:
		text += ", about " + seconds(max(p.ends-took, time.Second)) + " left"
	case p.total > 0 && p.done > 0:
		left := time.Duration(float64(took) / float64(p.done) * float64(p.total-p.done))
		text += ", about " + seconds(left) + " left"
	case p.limit > took:
		text += ", at most " + seconds(p.limit-took) + " more"
	}
	return text
}

func seconds(d time.Duration) string { return d.Round(time.Second).String() }

// set replaces the shown line; "" removes it.
func (s *screen) set(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	if s.line = line; line != "" {
		s.draw()
	}
}

// around calls write while the line is removed. The line stays removed if the written text does not
// end a line.
func (s *screen) around(write func() error, ended bool) error {
	if s.line == "" {
		return write()
	}
	s.erase()
	err := write()
	if ended {
		s.draw()
	} else {
		s.line = ""
	}
	return err
}

// erase and draw write to the terminal itself. The cursor stays behind the line.
func (s *screen) erase() {
	if s.line != "" {
		io.WriteString(s.on.w, "\r\x1b[K") //nolint:errcheck // the terminal is gone then
	}
}

func (s *screen) draw() {
	line := s.line
	if most := s.on.width - 1; utf8.RuneCountInString(line) > most {
		line = string([]rune(line)[:most-1]) + "…"
	}
	io.WriteString(s.on.w, strings.ReplaceAll(line, "\n", " ")) //nolint:errcheck // as in erase
}
