package projection

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
)

// reading is what a record is to the versions, whatever operators have decided about it.
type reading[F any] struct {
	event Event[F]
	ok    bool  // it is an event
	err   error // why it is none that could be read
}

// read reads a record. The error means that it cannot be read now.
func (s *Set[F]) read(ctx context.Context, r *kgo.Record) (*reading[F], error) {
	e, ok, err := s.cfg.Read(ctx, r)
	if err != nil && errs.KindOf(err) == errs.Transient {
		return nil, err
	}
	return &reading[F]{e, ok, err}, nil
}

// set is records that were taken and read, or why they were not.
type set[F any] struct {
	records []record[F]
	err     error
}

// ahead takes and reads the next set of a filling while the one before is written. The source is its own
// until the set has been received from the channel, which does not keep it waiting.
func (f *filler[F]) ahead(ctx context.Context, bound positions) <-chan set[F] {
	next := make(chan set[F], 1)
	go func() {
		records, err := f.take(ctx, bound)
		for i := range records {
			if err != nil {
				break
			}
			records[i].reading, err = f.read(ctx, records[i].Record)
		}
		next <- set[F]{records, err}
	}()
	return next
}
