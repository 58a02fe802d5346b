#!/bin/bash
# The first process of the guest: an NFS server and its client on one kernel,
# and then the tests. W is the folder that it shares with its host.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin W=${W:?folder}
mount -t proc proc /proc
mount -t sysfs sys /sys
for dir in /run /mnt /var/lib/nfs; do mount -t tmpfs tmpfs $dir; done
mkdir -p /run/rpcbind /var/lib/nfs/{sm,sm.bak,v4recovery,nfsdcltrack,rpc_pipefs} /mnt/{export,nfs4,nfs3,out,tmp}
: > /var/lib/nfs/etab
: > /var/lib/nfs/rmtab
mount -t hostfs none /mnt/out -o "$W/out"
exec > /mnt/out/console 2>&1
ip link set lo up
for m in nfsd nfsv3 nfsv4; do modprobe -d "$W/modroot" $m; done
mount -t ext4 /dev/ubda /mnt/export && chmod 777 /mnt/export
mount -t tmpfs tmpfs /mnt/tmp
mount -t nfsd nfsd /proc/fs/nfsd
echo 10 > /proc/fs/nfsd/nfsv4gracetime
echo 10 > /proc/fs/nfsd/nfsv4leasetime
(rpcbind -f -w > /dev/null 2>&1 &)
sleep 0.3
rpc.nfsd -H 127.0.0.1 4
rpc.mountd
echo Y > /proc/fs/nfsd/v4_end_grace
exportfs -o rw,no_root_squash,insecure,fsid=0,no_subtree_check 127.0.0.1:/mnt/export
mount -t nfs4 -o vers=4.2,soft,timeo=20,retrans=2 127.0.0.1:/ /mnt/nfs4
mount -t nfs -o vers=3,nolock,proto=tcp,mountproto=tcp,soft,timeo=20,retrans=2 127.0.0.1:/mnt/export /mnt/nfs3
grep nfs /proc/mounts
cd /mnt/tmp
HOME=/mnt/tmp TMPDIR=/mnt/tmp GOMAXPROCS=1 "$W/guest.test" -test.v -test.timeout 15m > /mnt/out/tests 2>&1
echo $? > /mnt/out/rc
sync
poweroff -f
