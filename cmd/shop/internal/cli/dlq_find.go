package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"eventshop.example/ops/operators"
)

// shortest is the minimum length of a part of an id.
const shortest = 4

// located is a dead letter with its group.
type located struct {
	group  operators.Group
	detail operators.Detail
}

// locate finds dead letters by their ids, or by an unambiguous beginning or end of an id.
func locate(ctx context.Context, f *operators.Fleet, args []string) ([]located, error) {
	var all []operators.Summary // of all statuses; read at the first partial id
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

func everything(ctx context.Context, f *operators.Fleet) ([]operators.Summary, error) {
	answers := operators.ListAll(ctx, f.Groups, operators.Filter{Status: operators.AnyStatus}, 0)
	all := []operators.Summary{}
	for _, a := range answers {
		all = append(all, a.Value.DeadLetters...)
	}
	// A group that does not answer may have another dead letter that matches.
	return all, errors.Join(operators.Failures(answers)...)
}

// whole returns the one id that begins or ends with a part.
func whole(part string, all []operators.Summary) (string, error) {
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
