package consumer

import (
	"errors"
	"time"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
)

// search finds the record at fault when a write of a whole set fails. It halves the records that
// may be at fault: the first half is tried alone, and either commits or contains the fault. Records
// before the one at fault commit on the way, and those behind it once it is known. A bad record
// among n costs at most log2(n) + 4 transactions, the one that stores its failure included.
type search struct {
	suspects int // the record at fault is among the first so many of the batch; 0: no fault is known
	repeats  int // transactions in a row that another writer overtook
}

// maxRepeats is how often a transaction that another writer overtook is repeated at once. Each
// repetition means that the other one has committed, so more are needed only where writers compete
// for one key without end.
const maxRepeats = 3

// size returns how many of the records the next transaction contains.
func (s *search) size(records int) int {
	if s.suspects == 0 {
		return records
	}
	return max(1, s.suspects/2)
}

// good notes that the first n records have committed.
func (s *search) good(n int) { s.suspects, s.repeats = max(0, s.suspects-n), 0 }

// bad notes that a transaction with the first n records failed.
func (s *search) bad(n int) { s.suspects = n }

// again reports whether the transaction failed because another writer was faster, so that the same
// transaction can succeed at once.
func (s *search) again(err error) bool {
	if !errors.Is(err, reaction.ErrOvertaken) && !postgres.Overtaken(err) {
		return false
	}
	s.repeats++
	return s.repeats <= maxRepeats
}

// split divides a batch into its first n records and the others. Each partition's records stay in
// order. The others are a batch once the first n have committed.
func split(portions []portion, n int) (first, others []portion) {
	for _, p := range portions {
		k := min(p.n, n)
		n -= k
		if k > 0 {
			first = append(first, portion{p.q, k, p.cut})
		}
		if k < p.n {
			others = append(others, portion{p.q, p.n - k, p.cut})
		}
	}
	return first, others
}

// transactionTime is how long a batch's transaction should take. While it runs it holds the locks
// of all its keys, and everything that writes one of these keys waits, an HTTP request for example.
const transactionTime = 100 * time.Millisecond

// pace adapts the size of batches so that a transaction takes about transactionTime. It never makes
// a batch wait for more records.
type pace struct{ most, size int }

// took notes how long the transaction of n records took.
func (p *pace) took(n int, d time.Duration) {
	switch {
	case d > transactionTime:
		p.size = max(1, p.size/16, int(int64(n)*int64(transactionTime)/int64(d)))
	case n >= p.size && d < transactionTime/2:
		p.size = min(p.most, 2*p.size)
	}
}
