package verify

import "github.com/google/uuid"

// givenUp checks that each given-up record is where its dead letter says, and that a discarded
// record has had no effect since, also if its dead letter has been pruned.
func (s *settlement) givenUp() {
	at, copies := map[Place]Record{}, map[uuid.UUID]int{}
	for _, rec := range s.Records {
		at[rec.Place()] = rec
		if sound(rec) {
			copies[rec.ID]++
		}
	}
	noted := map[placeOf]bool{}
	for _, g := range s.GivenUp {
		noted[spot(g.Group, g.Place)] = true
		letter, key := s.letters[g.DeadLetter], at[g.Place].Key
		if letter != nil {
			key = letter.Key
		}
		switch {
		case letter == nil && g.Decision == "":
			s.finding.breach("order %s: group %s gave up %s, nothing was decided about it, and dead letter %s is gone", shown(key), g.Group, g.Place, g.DeadLetter)
		case letter != nil && letter.Place != g.Place:
			s.finding.breach("order %s: group %s gave up %s as dead letter %s, which is of %s", shown(key), g.Group, g.Place, g.DeadLetter, letter.Place)
		case letter != nil && g.Decision != decision(letter.Status):
			s.finding.breach("order %s: dead letter %s of group %s is %s, and %s is noted as %s", shown(key), g.DeadLetter, g.Group, letter.Status, g.Place, g.Decision)
		}
		if rec, ok := at[g.Place]; ok && letter == nil && g.Decision == "discarded" && sound(rec) && copies[rec.ID] == 1 {
			if effect, ok := s.effects[cause{g.Group, rec.ID.String()}]; ok {
				s.finding.breach("order %s: event %s has had its effect in group %s (%s %s), which has discarded it",
					shown(key), rec.ID, g.Group, effect.Type, effect.ID)
			}
		}
	}
	for id, l := range s.letters {
		if !noted[spot(l.Group, l.Place)] {
			s.finding.breach("order %s: dead letter %s of group %s is not noted as given up: it may be handled when it comes again", shown(l.Key), id, l.Group)
		}
	}
}

// spot returns a place without its time. A topic that was lost and created anew has another record
// there, whose dead letter replaces the place.
func spot(group string, p Place) placeOf {
	p.Millis = 0
	return placeOf{group, p}
}

// decision returns the part of a dead letter's status that outlives the dead letter.
func decision(status string) string {
	if status == "resolved" || status == "discarded" {
		return status
	}
	return ""
}
