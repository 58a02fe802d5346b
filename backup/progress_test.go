package backup

import "testing"

func TestProgressNotes(t *testing.T) {
	var none *Progress
	none.Note("ignored")
	p := new(Progress)
	if v := p.View(); v.Notice != "" || v.Notices != 0 {
		t.Errorf("a fresh one says %+v", v)
	}
	p.Note("first")
	p.Note("second")
	if v := p.View(); v.Notice != "second" || v.Notices != 2 {
		t.Errorf("got %+v", v)
	}
}
