package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"eventshop.example/cmd/shop/internal/ops"
)

// shortest is how many characters of an id are enough to look for it by a part.
const shortest = 4

// located is a dead letter and the group that has it.
type located struct {
	group  ops.Group
	detail ops.Detail
}

// locate finds dead letters by their ids, or by an unambiguous beginning or end of one.
func locate(ctx context.Context, f *ops.Fleet, args []string) ([]located, error) {
	var all []ops.Summary // of all statuses; read when the first part of an id is met
	seen := map[string]bool{}
	var found []located
	for _, arg := range args {
		id := strings.ToLower(arg)
		if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
			if all == nil {
				if all, err = everything(ctx, f); err != nil {
					return nil, fmt.Errorf("look for %s: %w", arg, err)
				}
			}
			if id, err = whole(id, all); err != nil {
				return nil, err
			}
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		group, detail, err := f.Find(ctx, id)
		if err != nil {
			return nil, err
		}
		found = append(found, located{group, detail})
	}
	return found, nil
}

func everything(ctx context.Context, f *ops.Fleet) ([]ops.Summary, error) {
	answers := ops.ListAll(ctx, f.Groups, ops.Filter{Status: ops.AnyStatus}, 0)
	all := []ops.Summary{}
	for _, a := range answers {
		all = append(all, a.Value.DeadLetters...)
	}
	// Who is not there may have another that is called the same.
	return all, errors.Join(ops.Failures(answers)...)
}

// whole finds the one id that begins or ends with a part.
func whole(part string, all []ops.Summary) (string, error) {
	if len(part) < shortest || strings.Trim(part, "0123456789abcdef-") != "" {
		return "", fmt.Errorf("%q is neither the id of a dead letter nor %d or more characters of one", part, shortest)
	}
	id := ""
	for _, d := range all {
		if !strings.HasPrefix(d.ID, part) && !strings.HasSuffix(d.ID, part) {
			continue
		}
		if id != "" {
			return "", fmt.Errorf("%s is ambiguous: %s and %s, at least", part, id, d.ID)
		}
		id = d.ID
	}
	if id == "" {
		return "", fmt.Errorf("no group has a dead letter %s", part)
	}
	return id, nil
}
