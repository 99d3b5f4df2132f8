"""Handshake and framing cases on bare sockets, all at the same time; prints for each what the broker said.

Usage: raw.py HOST PORT  ->  lines of: name, tab, outcome
"""
import socket,struct,sys,time
from concurrent.futures import ThreadPoolExecutor
H,P=sys.argv[1],int(sys.argv[2])
def sh(s): b=s.encode(); return bytes([len(b)])+b
def lo(b):
    if isinstance(b,str): b=b.encode()
    return struct.pack('>I',len(b))+b
def frame(t,c,p,end=b'\xce'): return struct.pack('>BHI',t,c,len(p))+p+end
def method(c,cl,m,args=b''): return frame(1,c,struct.pack('>HH',cl,m)+args)
def rd(s,n):
    b=b''
    while len(b)<n:
        x=s.recv(n-len(b))
        if not x: raise EOFError(b)
        b+=x
    return b
def rf(s):
    t,c,l=struct.unpack('>BHI',rd(s,7)); p=rd(s,l); e=rd(s,1); return t,c,p
def desc(f):
    t,c,p=f
    if t==1:
        cl,m=struct.unpack('>HH',p[:4])
        if (cl,m) in((10,50),(20,40)):
            code,=struct.unpack('>H',p[4:6]); n=p[6]; txt=p[7:7+n].decode(); fc,fm=struct.unpack('>HH',p[7+n:11+n])
            return '%s %d %r failing=(%d,%d)'%('conn.close' if cl==10 else 'chan.close',code,txt,fc,fm)
        return 'method(%d,%d) ch=%d len=%d'%(cl,m,c,len(p))
    return 'frame type=%d ch=%d len=%d'%(t,c,len(p))
def S():
    s=socket.create_connection((H,P)); s.settimeout(6); return s
def startok(mech='PLAIN',resp=b'\0guest\0guest',props=b''):
    return method(0,10,11,lo(props)+sh(mech)+lo(resp)+sh('en_US'))
def login(s,props=b'',tune=None,vh='/'):
    s.sendall(b'AMQP\0\0\x09\x01'); st=rf(s); s.sendall(startok(props=props)); t=rf(s)
    cm,fm,hb=struct.unpack('>HIH',t[2][4:12]); a=tune(cm,fm,hb) if tune else (cm,fm,0)
    s.sendall(method(0,10,31,struct.pack('>HIH',*a))+method(0,10,40,sh(vh)+sh('')+b'\0')); r=rf(s); return (cm,fm,hb),r
def openc(s,n=1): s.sendall(method(n,20,10,sh(''))); return rf(s)
def drain(s,k=3):
    out=[]
    try:
        for _ in range(k): out.append(desc(rf(s)))
    except EOFError: out.append('EOF')
    except Exception as e: out.append(type(e).__name__)
    return out
cases=[]
def T(name,f): cases.append((name,f))
def outcome(f):
    try: return f()
    except EOFError as e: return 'EOF after %r'%(e.args[0][:20],)
    except Exception as e: return 'EXC %s %s'%(type(e).__name__,e)
def t():
    s=S(); s.sendall(b'AMQP\0\x03\x01\0'); b=s.recv(100); return b, s.recv(10)
T('bad_header_amqp0-3.1.0',t)
def t():
    s=S(); s.sendall(b'AMQP\x01\x01\x09\x01'); return s.recv(100)[:12]
T('header_0-9(1.1.9.1)',t)
def t():
    s=S(); s.sendall(b'AMQP\x01\x01\x00\x0a'); return s.recv(100)[:12]
T('header_0-10',t)
def t():
    s=S(); s.sendall(b'AMQP\0\x01\0\0'); return s.recv(100)[:12]
T('header_1.0',t)
def t():
    s=S(); s.sendall(b'GET / HTTP/1.1\r\n\r\n'); return s.recv(100)
T('header_http',t)
def t():
    s=S(); s.sendall(b'AMQP\0\0\x09\x01'); f=rf(s); p=f[2]; i=6; n,=struct.unpack('>I',p[i:i+4]); i+=4+n; m,=struct.unpack('>I',p[i:i+4]); mech=p[i+4:i+4+m]; i+=4+m; l,=struct.unpack('>I',p[i:i+4]); return 'version %d.%d mech=%r locales=%r'%(p[4],p[5],mech,p[i+4:i+4+l])
T('start',t)
T('tune',lambda: login(S())[0])
def t():
    s=S(); s.sendall(b'AMQP\0\0\x09\x01'); rf(s); s.sendall(startok(mech='FOO')); return drain(s)
T('mech_unknown',t)
def t():
    s=S(); s.sendall(b'AMQP\0\0\x09\x01'); rf(s); s.sendall(startok(resp=b'garbage')); return drain(s)
T('plain_malformed',t)
def t():
    s=S(); r=login(s,tune=lambda a,b,c:(a+1,b,0)); return desc(r[1]),drain(s)
T('tune_channel_max_higher',t)
def t():
    s=S(); r=login(s,tune=lambda a,b,c:(0,b,0)); return desc(r[1])
T('tune_channel_max_0',t)
def t():
    s=S(); r=login(s,tune=lambda a,b,c:(a,b+1,0)); return desc(r[1])
T('tune_frame_max_higher',t)
def t():
    s=S(); r=login(s,tune=lambda a,b,c:(a,1000,0)); return desc(r[1])
T('tune_frame_max_1000',t)
def t():
    s=S(); r=login(s,vh='nope'); return desc(r[1])
T('vhost_missing',t)
def t():
    s=S(); r=login(s,tune=lambda a,b,c:(10,b,0)); return desc(openc(s,11)), drain(s)
T('channel_over_max',t)
def t():
    s=S(); login(s); s.sendall(method(1,50,10,b'\0\0'+sh('q')+b'\0'+lo(b''))); return drain(s)
T('method_on_unopened_channel',t)
def t():
    s=S(); login(s); openc(s); s.sendall(method(1,20,10,sh(''))); return drain(s)
T('double_channel_open',t)
def t():
    s=S(); login(s); openc(s); s.sendall(frame(1,1,struct.pack('>HH',60,40)+b'\0\0'+sh('')+sh('q')+b'\0',end=b'\x00')); return drain(s)
T('bad_frame_end',t)
def t():
    s=S(); login(s); s.sendall(struct.pack('>BHI',1,0,200000)+b'x'*10); return drain(s)
T('frame_too_large',t)
def t():
    s=S(); login(s); openc(s); s.sendall(frame(9,1,b'')); return drain(s)
T('unknown_frame_type',t)
def t():
    s=S(); login(s); openc(s); s.sendall(method(1,99,99)); return drain(s)
T('unknown_method',t)
def t():
    s=S(); login(s); openc(s); s.sendall(frame(2,1,struct.pack('>HHQH',60,0,3,0))); return drain(s)
T('header_without_publish',t)
def t():
    s=S(); login(s); openc(s); s.sendall(method(1,60,40,b'\0\0'+sh('')+sh('q')+b'\0')+method(1,50,10,b'\0\0'+sh('q')+b'\0'+lo(b''))); return drain(s)
T('method_instead_of_header',t)
def t():
    s=S(); login(s); openc(s); s.sendall(method(1,60,40,b'\0\0'+sh('')+sh('q')+b'\0')+frame(2,1,struct.pack('>HHQH',60,0,3,0))+frame(3,1,b'xxxxxx')); return drain(s)
T('body_longer_than_header',t)
def t():
    s=S(); login(s); openc(s); s.sendall(method(1,60,40,b'\0\0'+sh('')+sh('q')+b'\0')+frame(2,1,struct.pack('>HHQH',60,0,200*1024*1024,0))); return drain(s)
T('body_size_200MiB',t)
def t():
    s=S(); login(s); openc(s); s.sendall(method(1,60,40,b'\0\0'+sh('')+sh('q')+b'\0')+frame(2,1,struct.pack('>HHQH',60,0,0,0))); s.sendall(method(1,50,10,b'\0\0'+sh('')+b'\x08'+lo(b''))); return drain(s,1)
T('empty_body_ok',t)
def t():
    s=S(); login(s); s.sendall(frame(8,1,b'')); s.sendall(method(1,20,10,sh(''))); return drain(s,1)
T('heartbeat_on_ch1',t)
def t():
    s=S(); login(s); openc(s); s.sendall(method(1,85,10,b'\0')+method(1,85,10,b'\0')); return drain(s,2)
T('confirm_select_twice',t)
def t():
    s=S(); login(s); openc(s); s.sendall(method(1,90,10)+method(1,90,10)); return drain(s,2)
T('tx_select_twice',t)
def t():
    s=S(); login(s); openc(s); s.sendall(method(1,30,10,sh('/data')+b'\x1d')); return drain(s,1)
T('access_request',t)
def t():
    s=S(); login(s); openc(s); s.sendall(method(1,40,10,b'\0\0'+sh('nope.x')+sh('direct')+b'\x01'+lo(b''))); s.sendall(method(1,50,10,b'\0\0'+sh('afterclose')+b'\0'+lo(b''))); a=drain(s,1); s.sendall(method(1,20,41)); s.sendall(method(1,20,10,sh(''))); return a,drain(s,1)
T('frames_after_channel_close_ignored_then_reopen',t)
def t():
    s=S(); login(s,tune=lambda a,b,c:(a,b,1)); t0=time.time(); o=[]
    try:
        while time.time()-t0<8: o.append((desc(rf(s)),round(time.time()-t0,1)))
    except Exception as e: o.append((type(e).__name__,round(time.time()-t0,1)))
    return o
T('heartbeat_1s_silent_client',t)
def t():
    s=S(); login(s,vh='/'); s.sendall(method(0,10,50,struct.pack('>H',200)+sh('bye')+b'\0\0\0\0')); return drain(s,2)
T('client_close',t)
with ThreadPoolExecutor(len(cases)) as pool:
    for (name,_),r in zip(cases,pool.map(lambda c: outcome(c[1]),cases)): print('%s\t%s'%(name,r))
