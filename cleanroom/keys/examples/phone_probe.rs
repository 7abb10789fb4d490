use phonenumber::Mode;
fn main(){
  let mut s=12345u64; let mut n=0; let mut diff=0; let mut nonidem=0; let mut err=0; let mut validdiff=0; let mut shown=0;
  let t=std::time::Instant::now();
  for _ in 0..200000 { s^=s<<13; s^=s>>7; s^=s<<17;
    let len=8+(s>>20)%7; let mut x=s; let mut d=String::from("+"); for i in 0..len { x=x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); let c=(x>>33)%10; let c= if i==0 && c==0 {1} else {c}; d.push((b'0'+c as u8) as char);}    
    n+=1;
    match phonenumber::parse(None,&d){ Err(_)=>err+=1, Ok(p)=>{ let o=p.format().mode(Mode::E164).to_string();
      if o!=d { diff+=1; if phonenumber::is_valid(&p){validdiff+=1;} if shown<15 {shown+=1; println!("{d} -> {o} valid {}", phonenumber::is_valid(&p));} 
        match phonenumber::parse(None,&o){Ok(q)=> if q.format().mode(Mode::E164).to_string()!=o {nonidem+=1;}, Err(_)=>nonidem+=1}
      } } } }
  println!("n {n} err {err} diff {diff} validdiff {validdiff} nonidem {nonidem} {:?}", t.elapsed());
  for x in ["+49 (0)30 123456","+44 07911 123456","+39 06 12345678","+7 800 123 45 67","+375 8001234567","+1 212 555 0123","+36 06 1 234 5678","+52 1 55 1234 5678","+54 9 11 1234 5678","+1-800-FLOWERS","+49 30 123456 ext 7"] { println!("{x} -> {:?}", phonenumber::parse(None,x).map(|p|(p.format().mode(Mode::E164).to_string(), phonenumber::is_valid(&p)))); }
}
