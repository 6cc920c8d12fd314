package logs

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"
)

// all stands for all lines where a number is required.
const all = 1 << 30

const (
	// quiet is how long a stream must be silent before its existing lines count as read.
	quiet = 300 * time.Millisecond
	// beginWithin bounds the wait for quiet.
	beginWithin = 3 * time.Second
)

// Stream is the log of a container. A function writes it to out: the last lines first and, when
// following, later lines until its context ends.
type Stream struct {
	write  func(ctx context.Context, out *Buffer, lines int, follow bool) error
	follow bool
	began  bool
	out    Buffer
	stop   context.CancelFunc
	ended  chan error
}

// NewStream returns a log that write writes.
func NewStream(follow bool, write func(ctx context.Context, out *Buffer, lines int, follow bool) error) *Stream {
	return &Stream{write: write, follow: follow, ended: make(chan error, 1)}
}

// Close ends the writing function.
func (l *Stream) Close() {
	if l.stop != nil {
		l.stop()
	}
}

// Next implements [Log].
func (l *Stream) Next(ctx context.Context, most int) ([]string, error) {
	if l.began {
		return l.out.lines(), nil
	}
	l.began = true
	if most < 0 {
		most = all
	}
	if !l.follow {
		err := l.write(ctx, &l.out, most, false)
		return l.out.lines(), err
	}
	ctx, l.stop = context.WithCancel(ctx)
	go func() { l.ended <- l.write(ctx, &l.out, most, true) }()
	giveUp := time.After(beginWithin)
	for {
		wrote := l.out.size()
		select {
		case err := <-l.ended:
			return l.out.lines(), err
		case <-giveUp:
			return l.out.lines(), nil
		case <-time.After(quiet):
			if l.out.size() == wrote {
				return l.out.lines(), nil
			}
		}
	}
}

// Rest implements [Log].
func (l *Stream) Rest() []string { return l.out.rest() }

// Buffer collects written text until it is taken line by line. It is safe for concurrent use.
type Buffer struct {
	mu    sync.Mutex
	b     []byte
	total int
}

// Write appends.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b = append(b.b, p...)
	b.total += len(p)
	return len(p), nil
}

func (b *Buffer) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// lines takes the finished lines.
func (b *Buffer) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := bytes.LastIndexByte(b.b, '\n')
	if i < 0 {
		return nil
	}
	text := string(b.b[:i])
	b.b = append([]byte(nil), b.b[i+1:]...)
	return strings.Split(text, "\n")
}

func (b *Buffer) rest() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.b) == 0 {
		return nil
	}
	text := string(b.b)
	b.b = nil
	return []string{text}
}
