package task

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
)

func TestSpeedAndHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		q := open(t, Options{Records: d})
		defer q.Close()
		id, err := q.Submit(WithRequester(t.Context(), "192.0.2.1"), Verify, nil, func(_ context.Context, p *backup.Progress) (any, error) {
			p.Expect(10_000)
			for range 60 {
				time.Sleep(time.Second)
				p.Add(1, 100, 10)
			}
			time.Sleep(time.Minute) // a stalled server
			return nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		time.Sleep(59*time.Second + time.Millisecond)
		task := get(t, q, id)
		if task.BytesPerSecond < 90 || task.BytesPerSecond > 110 || task.Remaining < 37*time.Second || task.Remaining > 47*time.Second {
			t.Errorf("at full speed: %v B/s, %v to go", task.BytesPerSecond, task.Remaining)
		}
		if task.RequestedBy != "192.0.2.1" || task.HeartbeatAt.Sub(begun) < 58*time.Second {
			t.Errorf("asked by %q, heartbeat after %v", task.RequestedBy, task.HeartbeatAt.Sub(begun))
		}
		var stored record
		d.mu.Lock()
		err = json.Unmarshal([]byte(d.values[space+"/"+id]), &stored)
		d.mu.Unlock()
		if err != nil || stored.Heartbeat.Sub(begun) != 30*time.Second || stored.Progress.RawBytes < 2_900 {
			t.Errorf("stored after %v: %+v, %v", stored.Heartbeat.Sub(begun), stored.Progress, err)
		}

		time.Sleep(30 * time.Second)
		task = get(t, q, id)
		if task.BytesPerSecond != 0 || task.Remaining != 0 {
			t.Errorf("stalled: %v B/s, %v to go", task.BytesPerSecond, task.Remaining)
		}
		if since := time.Since(task.UpdatedAt); since < 25*time.Second || time.Since(task.HeartbeatAt) > pulseEvery {
			t.Errorf("stalled for %v, looked after %v ago", since, time.Since(task.HeartbeatAt))
		}
		time.Sleep(time.Minute)
		if task = get(t, q, id); task.Status != Success || task.BytesPerSecond != 50 {
			t.Errorf("at the end: %s, %v B/s", task.Status, task.BytesPerSecond)
		}
		if age := time.Since(task.HeartbeatAt); age < 28*time.Second {
			t.Errorf("it is over, and a heartbeat came %v ago", age)
		}
	})
}

func TestKindOfTheErrorIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		q := open(t, Options{Records: d})
		want := map[string]fault.Kind{}
		for _, kind := range []fault.Kind{fault.Other, fault.NoSpace, fault.WrongKey, fault.Corrupt} {
			want[submit(t, q, func(context.Context, *backup.Progress) (any, error) {
				return nil, fault.Wrap(fault.New(kind, "do", "reasons"), "finish")
			})] = kind
		}
		want[submit(t, q, func(context.Context, *backup.Progress) (any, error) { return nil, errors.New("x") })] = fault.Other
		synctest.Wait()
		stopped := submit(t, q, untilCanceled)
		synctest.Wait()
		if err := q.Cancel(t.Context(), stopped); err != nil {
			t.Fatal(err)
		}
		want[stopped] = fault.Canceled
		synctest.Wait()
		q.Close()
		again := open(t, Options{Records: d})
		defer again.Close()
		for id, kind := range want {
			if task := get(t, again, id); task.ErrorKind != kind {
				t.Errorf("%s instead of %s", task.ErrorKind, kind)
			}
		}
	})
}
